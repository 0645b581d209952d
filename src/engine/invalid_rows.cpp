#include "engine/invalid_rows.hpp"

#include <limits>
#include <string>
#include <vector>

#include "core/row_status.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

std::string describe(const InvalidRow& row) {
  if ((row.flags & kInputsDiffer) != 0) {
    return "evaluate: targets, mask or sequence ids of these rows differ between ranks 0 and " + std::to_string(row.column) +
           " of the vocabulary group";
  }
  const bool policy = (row.flags & kInvalidPolicy) != 0;
  const bool reference = (row.flags & kInvalidReference) != 0;
  const std::string side = policy && reference ? "policy and reference" : policy ? "policy" : "reference";
  if (policy || reference) return side + " logits hold NaN or +inf, first at column " + std::to_string(row.column);
  if ((row.flags & kPolicyHasMass) == 0) return "policy logits have no finite entry";
  if ((row.flags & kReferenceHasMass) == 0) return "reference logits have no finite entry";
  if ((row.flags & kSequenceOutOfRange) != 0) return "sequence id " + std::to_string(row.target) + " is not in [0, sequences)";
  const std::string target = "target " + std::to_string(row.target);
  if ((row.flags & kTargetOutOfRange) != 0) return target + " is not in [0, vocab_size)";
  return target + " has probability 0 under the policy that is said to have sampled it";
}

}  // namespace

void throw_first_invalid(Communicator& world, const InvalidRow& own, bool inputs_alone, std::int64_t invalid_rows) {
  const bool have = own.row >= 0 && (!inputs_alone || own.inputs_alone());
  const InvalidRow mine = have ? own : InvalidRow{};
  std::vector<InvalidRow> all(static_cast<std::size_t>(world.size()));
  world.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  std::size_t rank = 0;
  while (rank + 1 < all.size() && all[rank].row < 0) ++rank;
  std::string message = "rank " + std::to_string(rank) + ", row " + std::to_string(all[rank].row) + ": " +
                        describe(all[rank]);
  if (invalid_rows > 1) message += " (" + std::to_string(invalid_rows) + " invalid rows in all)";
  throw InvalidData(message);
}

}  // namespace klmesh
