// What ranks must have in common, by name, so that a disagreement can say about what, with which values, and between
// whom.
#pragma once

#include <exception>
#include <span>
#include <string>
#include <vector>

#include "klmesh/communicator.hpp"

namespace klmesh {

/// One thing that must be equal on all ranks: "mle.steps", "7".
struct Term {
  std::string name;
  std::string value;
};

/// Names are unique within a list.
using Terms = std::vector<Term>;

/// Returns on every rank of `group` if all have the same terms, or throws the same error on every rank. Collective.
///
/// The bytes exchanged are the same in every version of this library, so that versions themselves can be a term.
/// @param local_failure what this rank found wrong before, or null; its terms are not looked at then
/// Cost: as agree(); if terms differ, also a broadcast of 16 bytes a term and an all-gather of half a KiB a rank.
/// @throws InvalidData "ranks disagree about mle.steps: 7 on ranks 0-2; 8 on rank 3", of the first term of rank 0's
///         that differs; else as agree()
void agree_on(Communicator& group, const Terms& terms, std::exception_ptr local_failure = nullptr);

/// The disagreement alone, for callers that have found out that there is one. Collective.
/// @throws InvalidData as agree_on(); nothing if all terms are equal
void throw_difference(Communicator& group, const Terms& terms);

/// "rank 3", "ranks 0-2, 5". @param ranks ascending, not empty
std::string ranks_text(std::span<const int> ranks);

}  // namespace klmesh
