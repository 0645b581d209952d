#include "loop/token_trace.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "comm/agreement.hpp"
#include "klmesh/error.hpp"
#include "loop/context_words.hpp"
#include "loop/gather.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {

namespace {

std::exception_ptr io_failure(const std::filesystem::path& path, const char* what) {
  return std::make_exception_ptr(IoError(path.string() + ": " + what + ": " + std::strerror(errno)));
}

// JSON conversions would cut 1.5 and wrap 2^32 silently.
std::int64_t integer_of(const nlohmann::json& value, const char* what) {
  if (!value.is_number_integer()) throw InvalidData(std::string(what) + " " + value.dump() + " is no integer");
  return value.get<std::int64_t>();
}

std::vector<std::int32_t> sequence_of(const nlohmann::json& tokens, std::int64_t vocab_size) {
  std::vector<std::int32_t> sequence;
  for (const nlohmann::json& value : tokens) {
    const std::int64_t token = integer_of(value, "token");
    if (token < 0 || token >= vocab_size) {
      throw InvalidData("token " + value.dump() + " is outside the vocabulary of " + std::to_string(vocab_size));
    }
    if (!sequence.empty() && sequence.back() == Vocabulary::end && token != Vocabulary::end) {
      throw InvalidData("token " + value.dump() + " follows <eos>");
    }
    sequence.push_back(static_cast<std::int32_t>(token));
  }
  return sequence;
}

// Bytes of the whole lines before the first that is not kept. No file, or no regular one: 0.
std::uintmax_t kept_bytes(const std::filesystem::path& path, const TokenDump::Keep& keep) {
  std::error_code ignored;
  if (!keep || !std::filesystem::is_regular_file(path, ignored)) return 0;
  std::ifstream in(path, std::ios::binary);
  std::uintmax_t bytes = 0;
  std::string line;
  for (std::int64_t number = 1; std::getline(in, line) && !in.eof(); ++number) {
    try {
      const nlohmann::json step = nlohmann::json::parse(line);
      if (!keep(step.at("arm").get<std::string>(), integer_of(step.at("step"), "step"))) return bytes;
    } catch (const nlohmann::json::exception& error) {
      throw InvalidData(path.string() + ", line " + std::to_string(number) + ": " + error.what());
    }
    bytes += line.size() + 1;
  }
  if (!in.eof()) std::rethrow_exception(io_failure(path, "reading failed"));
  return bytes;
}

void keep_bytes(const std::filesystem::path& path, std::uintmax_t bytes) {
  // Opening for appending makes a file, for writing empties it; neither touches a device.
  if (!std::ofstream(path, bytes > 0 ? std::ios::app : std::ios::trunc)) {
    std::rethrow_exception(io_failure(path, "cannot be written"));
  }
  if (bytes > 0) std::filesystem::resize_file(path, bytes);
}

}  // namespace

TokenDump::TokenDump(std::filesystem::path path, Mesh& mesh, const Keep& keep) : path_(std::move(path)), mesh_(mesh) {
  agree(mesh_.world(), "dump of tokens", 0, failure_of([&] {
          if (mesh_.world().rank() == 0) keep_bytes(path_, kept_bytes(path_, keep));
        }));
}

void TokenDump::write(std::string_view arm, const SampleBatch& batch, const SampleRequest& request,
                      std::int64_t total) {
  const auto length = static_cast<std::size_t>(request.length);
  std::vector<std::int64_t> all(static_cast<std::size_t>(total) * length, 0);
  std::ranges::copy(batch.tokens.download(CopyReason::token_trace),
                    all.begin() + static_cast<std::ptrdiff_t>(request.first_sequence * request.length));
  gather_owned(all, mesh_.batch());
  agree(mesh_.world(), "dump of tokens", 0, mesh_.world().rank() == 0 ? append(arm, request, all) : nullptr);
}

std::exception_ptr TokenDump::append(std::string_view arm, const SampleRequest& request,
                                     const std::vector<std::int64_t>& all) const {
  const auto length = static_cast<std::size_t>(request.length);
  nlohmann::json tokens = nlohmann::json::array();
  for (std::size_t first = 0; first < all.size(); first += length) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
    tokens.push_back(std::vector<std::int64_t>(begin, begin + static_cast<std::ptrdiff_t>(length)));
  }
  std::ofstream out(path_, std::ios::app);
  out << nlohmann::json{{"arm", arm}, {"step", request.step}, {"tokens", std::move(tokens)}}.dump() << '\n';
  out.close();
  return out ? nullptr : io_failure(path_, "write failed");
}

TokenReplay::TokenReplay(const std::filesystem::path& path, std::int64_t vocab_size) : path_(path.string()) {
  std::ifstream in(path);
  if (!in) throw InputNotFound(path_ + ": " + std::strerror(errno));
  std::string line;
  for (std::int64_t number = 1; std::getline(in, line); ++number) {
    const std::string where = path_ + ", line " + std::to_string(number) + ": ";
    try {
      add_step(line, vocab_size);
    } catch (const nlohmann::json::exception& error) {
      throw InvalidData(where + error.what());
    } catch (const InvalidData& error) {
      throw InvalidData(where + error.what());
    }
  }
  if (in.bad()) throw IoError(path_ + ": reading failed: " + std::strerror(errno));
}

void TokenReplay::add_step(const std::string& line, std::int64_t vocab_size) {
  const nlohmann::json step = nlohmann::json::parse(line);
  const auto arm = step.at("arm").get<std::string>();
  const std::int64_t number = integer_of(step.at("step"), "step");
  const nlohmann::json& tokens = step.at("tokens");
  if (!tokens.is_array()) throw InvalidData("tokens is no array of sequences");
  Sequences sequences;
  for (const nlohmann::json& sequence : tokens) {
    if (!sequence.is_array()) throw InvalidData("tokens is no array of sequences");
    sequences.push_back(sequence_of(sequence, vocab_size));
  }
  if (!steps_.emplace(std::pair(arm, number), std::move(sequences)).second) {
    throw InvalidData("arm " + arm + ", step " + std::to_string(number) + " is there twice");
  }
}

// The whole step is checked on every rank, not only the part it asked for: all throw, or none does.
const TokenReplay::Sequences& TokenReplay::find(std::string_view arm, const SampleRequest& request,
                                                std::int64_t total) const {
  const std::string where = path_ + ": arm " + std::string(arm) + ", step " + std::to_string(request.step);
  const auto found = steps_.find({std::string(arm), request.step});
  if (found == steps_.end()) throw InvalidData(where + " is not in the file");
  const Sequences& sequences = found->second;
  if (static_cast<std::int64_t>(sequences.size()) != total) {
    throw InvalidData(where + " has " + std::to_string(sequences.size()) + " sequences, the run " +
                      std::to_string(total));
  }
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    if (static_cast<std::int64_t>(sequences[s].size()) == request.length) continue;
    throw InvalidData(where + ", sequence " + std::to_string(s) + " has " + std::to_string(sequences[s].size()) +
                      " tokens, the run " + std::to_string(request.length));
  }
  return sequences;
}

void TokenReplay::serve(std::string_view arm, const SampleRequest& request, std::int64_t total, std::int64_t context,
                        SampleBatch& batch) const {
  const Sequences& sequences = find(arm, request, total);
  std::vector<std::int32_t> tokens, contexts;
  std::vector<std::uint8_t> mask;
  std::vector<std::int32_t> words(static_cast<std::size_t>(context));
  for (std::int64_t s = request.first_sequence; s < request.first_sequence + request.sequences; ++s) {
    const std::vector<std::int32_t>& sequence = sequences[static_cast<std::size_t>(s)];
    bool ended = false;
    for (std::int64_t t = 0; t < request.length; ++t) {
      const std::int32_t token = sequence[static_cast<std::size_t>(t)];
      fill_context(sequence, t, words);
      tokens.push_back(token);
      mask.push_back(ended ? 0 : 1);
      contexts.insert(contexts.end(), words.begin(), words.end());
      ended = ended || token == Vocabulary::end;
    }
  }
  batch.start(request, context);
  batch.tokens.upload(CopyReason::token_trace, tokens);
  batch.mask.upload(CopyReason::token_trace, mask);
  batch.contexts.upload(CopyReason::token_trace, contexts);
}

}  // namespace klmesh::loop
