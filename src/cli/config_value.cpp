// One value of the table: its limits in words, whether it keeps them, how it is written.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "cli/config_fields.hpp"

namespace klmesh::cli {
namespace {

// Members are read through the same accessor that writes them, hence the cast.
Member member_of(const Field& field, const loop::TrainConfig& config) {
  return field.member(const_cast<loop::TrainConfig&>(config));
}

std::string format_double(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";  // else it would read back as an integer
  return text;
}

// " >= 0 and < 1", empty without bounds.
std::string interval(const Limits& limits) {
  std::string text;
  if (std::isfinite(limits.low)) text += fmt::format(" {} {}", limits.low_open ? ">" : ">=", limits.low);
  if (std::isfinite(limits.high)) {
    text += fmt::format("{} {} {}", text.empty() ? "" : " and", limits.high_open ? "<" : "<=", limits.high);
  }
  return text;
}

bool in_interval(double value, const Limits& limits) {
  const bool above = limits.low_open ? value > limits.low : value >= limits.low;
  const bool below = limits.high_open ? value < limits.high : value <= limits.high;
  return std::isfinite(value) && above && below;
}

std::string string_problem(const std::string& value, const Limits& limits) {
  if (value.empty()) return "must not be empty";
  if (limits.choices.empty() || std::ranges::find(limits.choices, value) != limits.choices.end()) return {};
  return fmt::format("{} is not one of {}", quote(value), fmt::join(limits.choices, ", "));
}

std::string list_problem(const std::vector<std::string>& values, const Limits& limits) {
  if (values.empty() && !limits.may_be_empty) return "must not be empty";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::string problem = string_problem(values[i], limits); !problem.empty()) return problem;
    if (std::find(values.begin(), values.begin() + i, values[i]) != values.begin() + i) {
      return fmt::format("{} is there twice", quote(values[i]));
    }
  }
  return {};
}

}  // namespace

std::string quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\u{:04X}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string describe_limits(const Field& field) {
  loop::TrainConfig any;
  return std::visit(
      [&](auto* member) -> std::string {
        using T = std::remove_pointer_t<decltype(member)>;
        const std::string choices = fmt::format("{}", fmt::join(field.limits.choices, ", "));
        if constexpr (std::is_same_v<T, std::string>) {
          return choices.empty() ? "a string" : "one of " + choices;
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return choices.empty() ? "a list of strings" : "a list of " + choices;
        } else if constexpr (std::is_integral_v<T>) {
          return "an integer" + interval(field.limits);
        } else {
          return "a number" + interval(field.limits);
        }
      },
      field.member(any));
}

std::string format_value(const Field& field, const loop::TrainConfig& config) {
  return std::visit(
      [](const auto* member) -> std::string {
        using T = std::remove_cvref_t<decltype(*member)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return quote(*member);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          std::vector<std::string> quoted;
          for (const std::string& entry : *member) quoted.push_back(quote(entry));
          return fmt::format("[{}]", fmt::join(quoted, ", "));
        } else if constexpr (std::is_integral_v<T>) {
          return fmt::format("{}", *member);
        } else {
          return format_double(*member);
        }
      },
      member_of(field, config));
}

std::string limit_problem(const Field& field, const loop::TrainConfig& config) {
  return std::visit(
      [&](const auto* member) -> std::string {
        using T = std::remove_cvref_t<decltype(*member)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return string_problem(*member, field.limits);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return list_problem(*member, field.limits);
        } else if (in_interval(static_cast<double>(*member), field.limits)) {
          return {};
        } else {
          return fmt::format("must be {}, got {}", describe_limits(field), *member);
        }
      },
      member_of(field, config));
}

}  // namespace klmesh::cli
