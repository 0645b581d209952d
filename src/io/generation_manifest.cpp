#include "io/generation_manifest.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "io/input_error.hpp"
#include "io/sha256.hpp"

namespace klmesh::io {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view format_name = "klmesh-checkpoint";
constexpr std::string_view hash_word = "sha256 ";

Json json_of(const StateFileEntry& file) {
  return {{"name", file.name},
          {"bytes", file.bytes},
          {"sha256", file.sha256},
          {"vocab_begin", file.vocab_begin},
          {"vocab_end", file.vocab_end}};
}

// What comes before the line with the hash; refuses text whose hash differs.
std::string_view verified_body(std::string_view text, const std::string& place) {
  const std::size_t last_line = text.rfind('\n', text.size() < 2 ? 0 : text.size() - 2) + 1;  // npos + 1 is 0
  const std::string_view body = text.substr(0, last_line);
  if (text.substr(last_line) != fmt::format("{}{}\n", hash_word, sha256_hex(body))) {
    refuse(place, "damaged: its SHA-256 is not that of its last line");
  }
  return body;
}

template <typename T>
T member(const Json& json, const char* name) {
  const Json& value = json.at(name);
  // get() would cut 1.5 and take true for 1.
  if constexpr (std::is_same_v<T, std::int64_t>) {
    if (!value.is_number_integer()) throw InvalidData(fmt::format("\"{}\" is no integer", name));
  }
  return value.get<T>();
}

StateFileEntry file_of(const Json& json) {
  StateFileEntry file;
  file.name = member<std::string>(json, "name");
  file.bytes = member<std::int64_t>(json, "bytes");
  file.sha256 = member<std::string>(json, "sha256");
  file.vocab_begin = member<std::int64_t>(json, "vocab_begin");
  file.vocab_end = member<std::int64_t>(json, "vocab_end");
  if (file.name.empty() || file.name.front() == '.' || file.name.find('/') != std::string::npos) {
    throw InvalidData(fmt::format("\"{}\" is no name of a state file", file.name));
  }
  if (file.bytes < 0) throw InvalidData(fmt::format("{} has {} bytes", file.name, file.bytes));
  return file;
}

void require_cover(const Manifest& manifest) {
  std::int64_t next = 0;
  for (const StateFileEntry& file : manifest.files) {
    if (file.vocab_begin != next || file.vocab_end < next) {
      throw InvalidData(fmt::format("{} begins at word {}, expected {}", file.name, file.vocab_begin, next));
    }
    next = file.vocab_end;
  }
  for (const auto& [name, size] : manifest.shapes) {
    if (name == "vocab_size" && size != next) {
      throw InvalidData(fmt::format("the files hold {} of {} words", next, size));
    }
  }
  if (manifest.files.empty()) throw InvalidData("there are no state files");
}

Manifest manifest_of(const Json& json) {
  if (member<std::string>(json, "format") != format_name) throw InvalidData("is no checkpoint of klmesh");
  const auto version = member<std::int64_t>(json, "format_version");
  if (version != Manifest::format_version) {
    throw InvalidData(fmt::format("has format version {}, expected {}", version, Manifest::format_version));
  }
  Manifest m;
  m.config_toml = member<std::string>(json, "config_toml");
  m.config_sha256 = member<std::string>(json, "config_sha256");
  m.corpus = member<std::string>(json, "corpus");
  m.phase = member<std::int64_t>(json, "phase");
  m.arm = member<std::int64_t>(json, "arm");
  m.arm_name = member<std::string>(json, "arm_name");
  m.step = member<std::int64_t>(json, "step");
  m.mesh = member<std::string>(json, "mesh");
  const Json& shapes = json.at("shapes");
  for (const auto& item : shapes.items()) {
    m.shapes.emplace_back(item.key(), member<std::int64_t>(shapes, item.key().c_str()));
  }
  for (const Json& file : json.at("files")) m.files.push_back(file_of(file));
  require_cover(m);
  return m;
}

}  // namespace

std::string to_text(const Manifest& m) {
  Json shapes = Json::object(), files = Json::array();
  for (const auto& [name, size] : m.shapes) shapes[name] = size;
  for (const StateFileEntry& file : m.files) files.push_back(json_of(file));
  const Json json{{"format", format_name},
                  {"format_version", Manifest::format_version},
                  {"phase", m.phase},
                  {"arm", m.arm},
                  {"arm_name", m.arm_name},
                  {"step", m.step},
                  {"mesh", m.mesh},
                  {"shapes", shapes},
                  {"config_sha256", m.config_sha256},
                  {"config_toml", m.config_toml},
                  {"corpus", m.corpus},
                  {"files", files}};
  const std::string body = json.dump(2) + '\n';
  return fmt::format("{}{}{}\n", body, hash_word, sha256_hex(body));
}

Manifest parse_manifest(std::string_view text, const std::string& place) {
  const std::string_view body = verified_body(text, place);
  try {
    return manifest_of(Json::parse(body));
  } catch (const nlohmann::json::exception& error) {
    refuse(place, error.what());
  } catch (const InvalidData& error) {
    refuse(place, error.what());
  }
}

}  // namespace klmesh::io
