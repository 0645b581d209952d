#include "eval/logits_pass.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "comm/agreement.hpp"

namespace klmesh::eval {
namespace {

DType dtype_of(io::ElementType type) {
  switch (type) {
    case io::ElementType::f16: return DType::f16;
    case io::ElementType::bf16: return DType::bf16;
    case io::ElementType::f32: return DType::f32;
    case io::ElementType::f64: break;
  }
  return DType::f64;
}

// One side's logits of a chunk of rows, this rank's columns.
class SideBuffer {
 public:
  SideBuffer(const io::LogitsFile& file, io::Side side, const VocabShard& shard, double scale)
      : file_(file), side_(side), shard_(shard), scale_(scale), dtype_(dtype_of(file.type(side))) {}

  void read(std::int64_t first_row, std::int64_t rows) {
    rows_ = rows;
    buffer_.resize(static_cast<std::size_t>(rows * shard_.columns()) * dtype_bytes(dtype_));
    if (!buffer_.empty()) {
      file_.read_logits(side_, first_row, rows, shard_.begin, shard_.columns(), buffer_.data());
    }
  }
  LogitsView view() const {
    return {buffer_.data(), dtype_, rows_, shard_.columns(), shard_.columns(), {}, scale_};
  }

 private:
  const io::LogitsFile& file_;
  io::Side side_;
  VocabShard shard_;
  double scale_;
  DType dtype_;
  std::int64_t rows_ = 0;
  std::vector<std::byte> buffer_;
};

// Rows a chunk: bounded memory, whole chunks of the file where that is possible. Ranks that share rows must agree, so
// it depends on the mesh's widest shard, not on this rank's.
std::int64_t chunk_rows(const io::LogitsFile& file, const MeshShape& shape) {
  constexpr std::int64_t kBytes = std::int64_t{64} << 20;
  const std::int64_t widest = file.vocab_size() / shape.vocab + file.vocab_size() / kVocabSlices + 32;
  const std::int64_t fitting = std::max<std::int64_t>(1, kBytes / (8 * widest));
  const std::int64_t unit = std::max(file.rows_per_chunk(io::Side::policy), file.rows_per_chunk(io::Side::reference));
  return fitting < unit ? fitting : fitting / unit * unit;
}

bool needs_targets(Quantity q) { return q >= Quantity::logp_policy && q <= Quantity::ratio_excess; }

void append(TokenTable& table, const TokenStats& token, std::int64_t row, std::int64_t sequence, bool has_targets,
            QuantitySet set) {
  table.rows.push_back(row);
  table.sequences.push_back(sequence);
  table.flags.push_back(token.flags);
  const int count = set == QuantitySet::all ? kQuantities : kCoreQuantities;
  for (int i = 0; i < count; ++i) {
    const auto q = static_cast<Quantity>(i);
    if (has_targets || !needs_targets(q)) table[q].push_back(value_of(token, q));
  }
}

// Sorts this rank's share of a chunk into the table. An invalid row keeps the row it has in the file.
void collect(std::span<const TokenStats> tokens, const RowInputs& inputs, RowRange owned, std::int64_t first_row,
             const EvalOptions& options, TokenTable& table) {
  for (std::int64_t row = owned.begin; row < owned.end; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const TokenStats& token = tokens[i];
    if (!inputs.counts(row)) {
      ++table.masked;
    } else if (token.invalid_logits() || token.invalid_target()) {
      const InvalidRow invalid{first_row + row, token.invalid_column, token.flags,
                               inputs.targets.empty() ? -1 : inputs.targets[i]};
      if (options.skip_invalid && !invalid.inputs_alone()) {
        ++table.invalid;
      } else if (!table.first_invalid) {
        table.first_invalid = invalid;
      }
    } else {
      append(table, token, first_row + row, inputs.sequence.empty() ? -1 : inputs.sequence[i],
             !inputs.targets.empty(), options.quantities);
    }
  }
}

}  // namespace

TokenTable pass_over_logits(Mesh& mesh, Engine& engine, const io::LogitsFile& file, const EvalInputs& inputs,
                            const EvalOptions& options) {
  SideBuffer policy(file, io::Side::policy, engine.shard(), options.policy_scale);
  SideBuffer reference(file, io::Side::reference, engine.shard(), options.reference_scale);
  const std::int64_t chunk = chunk_rows(file, mesh.shape());
  const EvaluateOptions evaluate{.quantities = options.quantities, .schedule = Schedule::automatic, .gradient_follows = false};
  TokenTable table;
  std::vector<TokenStats> tokens;
  // A group that shares rows agrees chunk by chunk and leaves the loop together; then the world agrees.
  std::exception_ptr failure;
  for (std::int64_t first = 0; first < inputs.rows && !failure; first += chunk) {
    const std::int64_t rows = std::min(chunk, inputs.rows - first);
    failure = failure_of([&] {
      agree(mesh.vocab(), "reading logits", static_cast<std::uint64_t>(rows), failure_of([&] {
              policy.read(inputs.first_row + first, rows);
              reference.read(inputs.first_row + first, rows);
            }));
      tokens.resize(static_cast<std::size_t>(rows));
      const RowInputs slice = inputs.slice(first, rows);
      engine.evaluate(policy.view(), reference.view(), slice, evaluate, tokens, host_stream);
      collect(tokens, slice, engine.owned_rows(rows), inputs.first_row + first, options, table);
    });
  }
  agree(mesh.world(), "evaluating the file", 0, failure);
  return table;
}

}  // namespace klmesh::eval
