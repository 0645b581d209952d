// Reads the layers of the configuration. The only file that includes toml++, which is slow to compile.
#include "cli/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <limits>
#include <optional>
#include <system_error>
#include <type_traits>

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>
#include <unistd.h>

#include "cli/config_fields.hpp"
#include "cli/suggestion.hpp"

namespace klmesh::cli {
namespace {

// Where a value comes from: decides the class of errors and how they begin.
struct Origin {
  bool is_document;  // a file, else what the user typed
  std::string name;

  [[noreturn]] void fail(const toml::source_region& where, std::string_view what) const {
    if (!is_document) throw UsageError(fmt::format("{}: {}", name, what));
    throw InvalidData(fmt::format("{}:{}: {}", name, where.begin.line, what));
  }
};

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a floating-point number";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

std::optional<std::vector<std::string>> read_strings(const toml::node& node) {
  if (const auto one = node.value_exact<std::string>()) return std::vector{*one};
  if (!node.is_array()) return std::nullopt;
  std::vector<std::string> strings;
  for (const toml::node& entry : *node.as_array()) {
    const auto text = entry.value_exact<std::string>();
    if (!text) return std::nullopt;
    strings.push_back(*text);
  }
  return strings;
}

// Writes the node's value to a member of type T; false if the node has another type or does not fit into T.
template <class T>
bool read_value(const toml::node& node, T& member) {
  std::optional<T> value;
  if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    value = read_strings(node);
  } else if constexpr (std::is_same_v<T, std::string>) {
    value = node.value_exact<std::string>();
  } else if constexpr (std::is_same_v<T, double>) {
    if (node.is_number()) value = node.value<double>();
  } else {
    const auto integer = node.value_exact<std::int64_t>();
    if (integer && std::in_range<T>(*integer)) value = static_cast<T>(*integer);
  }
  if (value) member = *std::move(value);
  return value.has_value();
}

std::string value_text(const toml::node& node) {
  if (const auto integer = node.value_exact<std::int64_t>()) return fmt::format("{}", *integer);
  if (const auto text = node.value_exact<std::string>()) return "the string " + quote(*text);
  return std::string(type_name(node));
}

[[noreturn]] void fail_unknown(const Origin& origin, const toml::node& node, std::string_view key) {
  std::vector<std::string_view> keys;
  for (const Field& field : config_fields()) keys.push_back(field.key);
  const std::string_view suggestion = nearest(key, keys);
  std::string message = fmt::format("unknown key {}", key);
  if (!suggestion.empty()) message += fmt::format("; did you mean {}?", suggestion);
  origin.fail(node.source(), message);
}

bool is_section(std::string_view name) {
  return !name.empty() && std::ranges::any_of(config_fields(), [&](const Field& field) {
    return section_of(field.key) == name;
  });
}

void apply_value(loop::TrainConfig& config, std::string_view key, const toml::node& node,
                 const Origin& origin) {
  const Field* field = find_field(key);
  if (field == nullptr && is_section(key)) {
    origin.fail(node.source(), fmt::format("{} is a section, not a key", key));
  }
  if (field == nullptr) fail_unknown(origin, node, key);
  const bool read =
      std::visit([&](auto* member) { return read_value(node, *member); }, field->member(config));
  if (!read) {
    origin.fail(node.source(),
                fmt::format("{} must be {}, got {}", key, describe_limits(*field), value_text(node)));
  }
  const std::string problem = limit_problem(*field, config);
  if (!problem.empty()) origin.fail(node.source(), fmt::format("{} {}", key, problem));
}

void apply_table(loop::TrainConfig& config, const toml::table& table, const std::string& prefix,
                 const Origin& origin) {
  for (const auto& [name, node] : table) {
    const std::string key =
        prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str());
    if (node.is_table() && prefix.empty() && is_section(key)) {
      apply_table(config, *node.as_table(), key, origin);
    } else {
      apply_value(config, key, node, origin);
    }
  }
}

toml::table parse_document(std::string_view document, const Origin& origin) {
  try {
    return toml::parse(document, origin.name);
  } catch (const toml::parse_error& error) {
    origin.fail(error.source(), error.description());
  }
}

// "value = <text>" as TOML, else the text as a string. A text with line breaks could smuggle in further keys.
toml::table parse_typed_value(std::string_view text, const Origin& origin) {
  if (text.find_first_of("\r\n#") == std::string_view::npos) {
    try {
      return toml::parse(fmt::format("value = {}", text));
    } catch (const toml::parse_error&) {  // no TOML value: a string
    }
  }
  return parse_document(fmt::format("value = {}", quote(text)), origin);
}

void apply_typed(loop::TrainConfig& config, std::string_view key, std::string_view text,
                 const Origin& origin) {
  const toml::table parsed = parse_typed_value(text, origin);
  apply_value(config, key, *parsed.get("value"), origin);
}

void apply_environment(loop::TrainConfig& config, std::string_view entry) {
  constexpr std::string_view prefix = "KLMESH_";
  const auto equals = entry.find('=');
  if (!entry.starts_with(prefix) || equals == std::string_view::npos) return;
  const std::string_view name = entry.substr(0, equals);
  const auto separator = name.find("__", prefix.size() - 1);
  if (separator == std::string_view::npos) return;
  const Origin origin{false, fmt::format("environment variable {}", name)};
  if (separator < prefix.size()) {
    throw UsageError(origin.name + " names no section; keys without one are set in the file or by --set");
  }
  std::string key{name.substr(prefix.size(), separator - prefix.size())};
  key += '.';
  key += name.substr(separator + 2);
  std::ranges::transform(key, key.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  apply_typed(config, key, entry.substr(equals + 1), origin);
}

void apply_set(loop::TrainConfig& config, std::string_view entry) {
  const auto equals = entry.find('=');
  const Origin origin{false, fmt::format("--set {}", entry)};
  if (equals == std::string_view::npos || equals == 0) throw UsageError(origin.name + ": expected KEY=VALUE");
  apply_typed(config, entry.substr(0, equals), entry.substr(equals + 1), origin);
}

// What no single value shows. Empty if all is well.
std::string contradiction(const loop::TrainConfig& config) {
  if (config.reward.preferred != config.reward.rejected) return {};
  return fmt::format("reward.preferred and reward.rejected are both {}", quote(config.reward.preferred));
}

std::string read_file(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    throw InputNotFound(fmt::format("config file {} is a directory", file.string()));
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw InputNotFound(fmt::format("cannot open config file {}", file.string()));
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (stream.bad()) throw IoError(fmt::format("reading config file {} failed", file.string()));
  return text;
}

}  // namespace

loop::TrainConfig parse_config(std::string_view document, std::string_view origin) {
  loop::TrainConfig config;
  const Origin where{true, std::string(origin)};
  apply_table(config, parse_document(document, where), "", where);
  if (const std::string problem = contradiction(config); !problem.empty()) {
    throw InvalidData(fmt::format("{}: {}", origin, problem));
  }
  return config;
}

loop::TrainConfig load_config(const std::filesystem::path& file, std::span<const std::string> environment,
                              std::span<const std::string> sets) {
  return override_config(parse_config(read_file(file), file.string()), environment, sets);
}

loop::TrainConfig override_config(loop::TrainConfig config, std::span<const std::string> environment,
                                  std::span<const std::string> sets) {
  for (const std::string& entry : environment) apply_environment(config, entry);
  for (const std::string& entry : sets) apply_set(config, entry);
  if (const std::string problem = contradiction(config); !problem.empty()) throw UsageError(problem);
  return config;
}

std::vector<std::string> process_environment() {
  std::vector<std::string> entries;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) entries.emplace_back(*entry);
  return entries;
}

}  // namespace klmesh::cli
