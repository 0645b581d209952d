#include "cli/json_text.hpp"

#include <fmt/format.h>

#include <cmath>

#include "klmesh/error.hpp"

namespace klmesh::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int broken_levels = 2;

std::string real_text(double value) {
  if (!std::isfinite(value)) throw InvalidArgument(fmt::format("JSON has no number {}", value));
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // read back as a real by every parser
  return text;
}

void new_line(std::string& text, int depth) {
  text.append("\n").append(2 * static_cast<std::size_t>(depth), ' ');
}

void append(std::string& text, const Json& value, int depth);

template <class Items, class Append>
void append_all(std::string& text, const Items& items, int depth, std::string_view brackets,
                Append append_item) {
  const bool broken = depth < broken_levels && !items.empty();
  text += brackets[0];
  const char* separator = "";
  for (const auto& item : items) {
    text += separator;
    if (broken) new_line(text, depth + 1);
    append_item(item);
    separator = broken ? "," : ", ";
  }
  if (broken) new_line(text, depth);
  text += brackets[1];
}

void append(std::string& text, const Json& value, int depth) {
  if (value.is_object()) {
    append_all(text, value.get_ref<const Json::object_t&>(), depth, "{}", [&](const auto& member) {
      text += Json(member.first).dump() + ": ";
      append(text, member.second, depth + 1);
    });
  } else if (value.is_array()) {
    append_all(text, value.get_ref<const Json::array_t&>(), depth, "[]",
               [&](const Json& element) { append(text, element, depth + 1); });
  } else {
    text += value.is_number_float() ? real_text(value.get<double>()) : value.dump();
  }
}

}  // namespace

std::string json_text(const nlohmann::ordered_json& value) {
  std::string text;
  append(text, value, 0);
  return text + "\n";
}

}  // namespace klmesh::cli
