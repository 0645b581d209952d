#include "eval/invalid_rows.hpp"

#include <fmt/format.h>

#include "core/row_status.hpp"
#include "klmesh/error.hpp"

namespace klmesh::eval {
namespace {

// The rank that holds a row and, if one column is to blame, that column; of inputs that differ, the first that has others.
int rank_of(const Mesh& mesh, const io::LogitsFile& file, const InvalidRow& row) {
  const MeshShape shape = mesh.shape();
  const std::int64_t each = (file.rows() + shape.batch - 1) / shape.batch;
  const int batch_part = static_cast<int>(row.row / each);
  if ((row.flags & kInputsDiffer) != 0) return batch_part * shape.vocab + row.column;
  int vocab_part = 0;
  while (row.column >= 0 && vocab_part + 1 < shape.vocab &&
         !vocab_shard(file.vocab_size(), vocab_part, shape.vocab).contains(row.column)) {
    ++vocab_part;
  }
  return batch_part * shape.vocab + vocab_part;
}

std::string describe(const io::LogitsFile& file, const InvalidRow& row) {
  const bool policy = (row.flags & kInvalidPolicy) != 0;
  const bool reference = (row.flags & kInvalidReference) != 0;
  if (policy || reference) {
    return fmt::format("{}: row {}, column {}: NaN or +inf", policy ? "policy_logits" : "reference_logits", row.row,
                       row.column);
  }
  if ((row.flags & kPolicyHasMass) == 0) return fmt::format("policy_logits: row {}: no finite entry", row.row);
  if ((row.flags & kReferenceHasMass) == 0) return fmt::format("reference_logits: row {}: no finite entry", row.row);
  if ((row.flags & kInputsDiffer) != 0) {
    return fmt::format("row {}: ranks that share its vocabulary were given different targets or masks", row.row);
  }
  if ((row.flags & kTargetOutOfRange) != 0) {
    return fmt::format("targets: row {}: {} is not in [0, {})", row.row, file.target_text(row.row), file.vocab_size());
  }
  if (!file.has_logits()) return fmt::format("logp_policy: row {}: a sampled token of probability 0", row.row);
  return fmt::format("targets: row {}: token {} has probability 0 under the policy that is said to have sampled it",
                     row.row, row.target);
}

}  // namespace

void throw_if_invalid(Mesh& mesh, const io::LogitsFile& file, const TokenTable& table) {
  const InvalidRow mine = table.first_invalid.value_or(InvalidRow{});
  std::vector<InvalidRow> all(static_cast<std::size_t>(mesh.world().size()));
  mesh.world().all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  const InvalidRow* first = nullptr;
  for (const InvalidRow& row : all) {
    if (row.row >= 0 && (first == nullptr || row.row < first->row)) first = &row;
  }
  if (first == nullptr) return;
  throw InvalidData(fmt::format("{}: {} (rank {})", file.path(), describe(file, *first), rank_of(mesh, file, *first)));
}

}  // namespace klmesh::eval
