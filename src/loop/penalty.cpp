#include "loop/penalty.hpp"

#include <array>
#include <string>

#include "klmesh/error.hpp"

namespace klmesh::loop {
namespace {

struct Kind {
  Penalty penalty;
  std::string_view name;
  std::string_view objective;
};

constexpr std::array<Kind, 6> kKinds{{
    {Penalty::exact_reward, "exact_reward", "E[R] - beta KL[policy||reference] of sequences, exact KL per position"},
    {Penalty::k1_reward, "k1_reward", "E[R] - beta KL[policy||reference] of sequences, sampled"},
    {Penalty::exact_loss, "exact_loss", "E[R] - beta sum_t KL[policy||reference] with prefixes held fixed, exact"},
    {Penalty::k2_loss, "k2_loss", "E[R] - beta sum_t KL[policy||reference] with prefixes held fixed, sampled"},
    {Penalty::k3_loss, "k3_loss", "E[R] - beta sum_t KL[reference||policy] (forward!) with prefixes held fixed, sampled"},
    {Penalty::none, "none", "E[R], no penalty"},
}};

const Kind& kind_of(Penalty penalty) { return kKinds[static_cast<std::size_t>(penalty)]; }

}  // namespace

std::string_view name(Penalty penalty) noexcept { return kind_of(penalty).name; }

std::string_view objective(Penalty penalty) noexcept { return kind_of(penalty).objective; }

Penalty parse_penalty(std::string_view text) {
  std::string names;
  for (const Kind& kind : kKinds) {
    if (kind.name == text) return kind.penalty;
    names += (names.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw InvalidArgument("\"" + std::string(text) + "\" is no kind of penalty: " + names);
}

}  // namespace klmesh::loop
