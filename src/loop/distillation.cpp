#include "loop/distillation.hpp"

#include <array>
#include <string>

#include "klmesh/error.hpp"

namespace klmesh::loop {
namespace {

struct Kind {
  std::string_view name;
  std::string_view objective;
  Quantity divergence;
};

// In the order of the enumeration.
constexpr std::array<Kind, 4> kKinds{{
    {"forward", "KL[teacher||student]: the student covers what the teacher may say", Quantity::kl_forward},
    {"reverse", "KL[student||teacher]: the student says what the teacher would", Quantity::kl_reverse},
    {"jensen_shannon", "Jensen-Shannon divergence of teacher and student", Quantity::jensen_shannon},
    {"data", "KL[data||student], maximum likelihood without the teacher", Quantity::kl_forward},
}};

const Kind& kind_of(Distillation kind) { return kKinds[static_cast<std::size_t>(kind)]; }

}  // namespace

std::string_view name(Distillation kind) noexcept { return kind_of(kind).name; }

std::string_view objective(Distillation kind) noexcept { return kind_of(kind).objective; }

Quantity divergence_of(Distillation kind) noexcept { return kind_of(kind).divergence; }

Distillation parse_distillation(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i].name == name) return static_cast<Distillation>(i);
    known += (i == 0 ? "" : ", ") + std::string(kKinds[i].name);
  }
  throw InvalidArgument("unknown distillation '" + std::string(name) + "': one of " + known);
}

}  // namespace klmesh::loop
