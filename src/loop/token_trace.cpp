#include "loop/token_trace.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "klmesh/error.hpp"
#include "loop/gather.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {

TokenDump::TokenDump(std::filesystem::path path, Mesh& mesh) : path_(std::move(path)), mesh_(mesh) {
  if (mesh_.world().rank() != 0) return;
  if (!std::ofstream(path_)) throw IoError(path_.string() + ": cannot be written: " + std::strerror(errno));
}

void TokenDump::write(std::string_view arm, const SampleBatch& batch, const SampleRequest& request,
                      std::int64_t total) {
  const auto length = static_cast<std::size_t>(request.length);
  std::vector<std::int64_t> all(static_cast<std::size_t>(total) * length, 0);
  std::copy(batch.tokens.begin(), batch.tokens.end(),
            all.begin() + static_cast<std::ptrdiff_t>(request.first_sequence * request.length));
  gather_owned(all, mesh_.batch());
  if (mesh_.world().rank() != 0) return;

  nlohmann::json tokens = nlohmann::json::array();
  for (std::size_t s = 0; s < static_cast<std::size_t>(total); ++s) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(s * length);
    tokens.push_back(std::vector<std::int64_t>(begin, begin + static_cast<std::ptrdiff_t>(length)));
  }
  std::ofstream out(path_, std::ios::app);
  out << nlohmann::json{{"arm", arm}, {"step", request.step}, {"tokens", std::move(tokens)}}.dump() << '\n';
  out.close();
  if (!out) throw IoError(path_.string() + ": write failed: " + std::strerror(errno));
}

TokenReplay::TokenReplay(const std::filesystem::path& path, std::int64_t vocab_size) : path_(path.string()) {
  std::ifstream in(path);
  if (!in) throw InputNotFound(path_ + ": " + std::strerror(errno));
  std::string line;
  for (std::int64_t number = 1; std::getline(in, line); ++number) {
    const std::string where = path_ + ", line " + std::to_string(number) + ": ";
    try {
      const nlohmann::json step = nlohmann::json::parse(line);
      Sequences sequences = step.at("tokens").get<Sequences>();
      for (const auto& sequence : sequences) {
        for (const std::int32_t token : sequence) {
          if (token < 0 || token >= vocab_size) {
            throw InvalidData(where + "token " + std::to_string(token) + " is outside the vocabulary of " +
                              std::to_string(vocab_size));
          }
        }
      }
      steps_[{step.at("arm").get<std::string>(), step.at("step").get<std::int64_t>()}] = std::move(sequences);
    } catch (const nlohmann::json::exception& error) {
      throw InvalidData(where + error.what());
    }
  }
}

SampleBatch TokenReplay::batch(std::string_view arm, const SampleRequest& request, std::int64_t total,
                               std::int64_t context) const {
  const std::string where = path_ + ": arm " + std::string(arm) + ", step " + std::to_string(request.step);
  const auto found = steps_.find({std::string(arm), request.step});
  if (found == steps_.end()) throw InvalidData(where + " is not in the file");
  const Sequences& sequences = found->second;
  if (static_cast<std::int64_t>(sequences.size()) != total) {
    throw InvalidData(where + " has " + std::to_string(sequences.size()) + " sequences, the run " +
                      std::to_string(total));
  }
  SampleBatch batch;
  batch.sequences = request.sequences;
  batch.length = request.length;
  batch.context = static_cast<std::int32_t>(context);
  for (std::int64_t s = request.first_sequence; s < request.first_sequence + request.sequences; ++s) {
    const std::vector<std::int32_t>& sequence = sequences[static_cast<std::size_t>(s)];
    if (static_cast<std::int64_t>(sequence.size()) != request.length) {
      throw InvalidData(where + ", sequence " + std::to_string(s) + " has " + std::to_string(sequence.size()) +
                        " tokens, the run " + std::to_string(request.length));
    }
    bool ended = false;
    std::vector<std::int32_t> words(static_cast<std::size_t>(context));
    for (std::int64_t t = 0; t < request.length; ++t) {
      const std::int32_t token = sequence[static_cast<std::size_t>(t)];
      fill_context(sequence, t, words);
      batch.tokens.push_back(token);
      batch.mask.push_back(ended ? 0 : 1);
      batch.contexts.insert(batch.contexts.end(), words.begin(), words.end());
      ended = ended || token == Vocabulary::end;
    }
  }
  return batch;
}

}  // namespace klmesh::loop
