// The one table of configuration keys: reading, printing and help all run over it.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "loop/train_config.hpp"

namespace klmesh::cli {

/// A member of TrainConfig, by address; the alternative is its type.
using Member =
    std::variant<int*, std::int64_t*, std::uint64_t*, double*, std::string*, std::vector<std::string>*>;

/// Values a key may have. Numbers: an interval. Strings and entries of lists: one of `choices`, if there are
/// any.
struct Limits {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;   ///< `low` itself is not allowed
  bool high_open = false;  ///< `high` itself is not allowed
  std::span<const std::string_view> choices{};
  bool may_be_empty = false;  ///< a list without entries is allowed
};

struct Field {
  std::string_view key;  ///< "section.name", or "name" at top level
  Member (*member)(loop::TrainConfig&);
  Limits limits;
  std::string_view description;  ///< one line
  bool is_path = false;          ///< names files of this machine: not part of what makes two runs equal
};

/// All keys; the keys of a section are neighbours.
std::span<const Field> config_fields();

/// Null if there is no such key.
const Field* find_field(std::string_view key);

/// The part of the key before the dot, empty at top level.
std::string_view section_of(std::string_view key);

/// "an integer >= 1", "a list of exact_reward, none ...": for messages and help.
std::string describe_limits(const Field& field);

/// The value as TOML: strings quoted, doubles with the fewest digits that read back the same.
std::string format_value(const Field& field, const loop::TrainConfig& config);

/// `text` as a TOML basic string, quotes included.
std::string quote(std::string_view text);

/// Empty if the field's value lies within its limits, else what is wrong with it, without the key.
std::string limit_problem(const Field& field, const loop::TrainConfig& config);

}  // namespace klmesh::cli
