#include "eval/logits_pass.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "comm/agreement.hpp"
#include "core/row_status.hpp"

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
  constexpr std::int64_t kBytes = std::int64_t{16} << 20;
  const std::int64_t widest = file.vocab_size() / shape.vocab + file.vocab_size() / kVocabSlices + 32;
  const std::int64_t fitting = std::max<std::int64_t>(1, kBytes / (8 * widest));
  const std::int64_t unit = std::max(file.rows_per_chunk(io::Side::policy), file.rows_per_chunk(io::Side::reference));
  return fitting < unit ? fitting : fitting / unit * unit;
}

void append(TokenTable& table, const TokenStats& token, std::int64_t row, std::int64_t sequence,
            const EvalReport& report) {
  table.rows.push_back(row);
  table.sequences.push_back(sequence);
  table.flags.push_back(token.flags);
  for (int i = 0; i < kQuantities; ++i) {
    const auto q = static_cast<Quantity>(i);
    if (report.has(q)) table[q].push_back(value_of(token, q));
  }
}

// Sorts this rank's share of a chunk into the table. An invalid row keeps the row it has in the file.
void collect(std::span<const TokenStats> tokens, const RowInputs& inputs, RowRange owned, std::int64_t first_row,
             bool skip_invalid, const EvalReport& report, TokenTable& table) {
  for (std::int64_t row = owned.begin; row < owned.end; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const TokenStats& token = tokens[i];
    // Sequence ids are dense already: none is out of range.
    const RowStatus status = row_status(token, inputs.counts(row), false, -1, 0);
    if (status == RowStatus::masked) {
      ++table.masked;
    } else if (status == RowStatus::invalid) {
      const std::int64_t target = inputs.targets.empty() ? -1 : inputs.targets[i];
      const InvalidRow invalid = invalid_row(token, status, first_row + row, target, -1);
      if (skip_invalid && !invalid.inputs_alone()) {
        ++table.invalid;
      } else if (!table.first_invalid) {
        table.first_invalid = invalid;
      }
    } else {
      append(table, token, first_row + row, inputs.sequence.empty() ? -1 : inputs.sequence[i], report);
    }
  }
}

}  // namespace

TokenTable pass_over_logits(Mesh& mesh, ChunkEvaluator& evaluator, const io::LogitsFile& file, const EvalInputs& inputs,
                            const EvalOptions& options, const EvalReport& report) {
  const Engine& engine = evaluator.engine();
  SideBuffer policy(file, io::Side::policy, engine.shard(), options.policy_scale);
  SideBuffer reference(file, io::Side::reference, engine.shard(), options.reference_scale);
  const std::int64_t chunk = chunk_rows(file, mesh.shape());
  const EvaluateOptions evaluate{.quantities = options.quantities, .schedule = Schedule::automatic, .gradient_follows = false,
                                 .renyi_alpha = options.renyi_alpha};
  TokenTable table;
  std::vector<TokenStats> tokens;
  // All parts go through the loop as often as the largest: what one meets, or its stop, all notice in the next chunk,
  // not when the last of them is done.
  const std::int64_t largest = (file.rows() + mesh.shape().batch - 1) / mesh.shape().batch;
  std::exception_ptr failure;
  for (std::int64_t first = 0; first < largest; first += chunk) {
    const std::int64_t rows = std::clamp(inputs.rows - first, std::int64_t{0}, chunk);
    if (!failure && rows > 0) {
      failure = failure_of([&] {
        policy.read(inputs.first_row + first, rows);
        reference.read(inputs.first_row + first, rows);
      });
    }
    agree(mesh.world(), "reading logits", static_cast<std::uint64_t>(first), failure);
    if (rows == 0) continue;  // on all ranks that share rows
    failure = failure_of([&] {
      tokens.resize(static_cast<std::size_t>(rows));
      const RowInputs slice = inputs.slice(first, rows);
      evaluator.evaluate(policy.view(), reference.view(), slice, evaluate, tokens);
      collect(tokens, slice, engine.owned_rows(rows), inputs.first_row + first, options.skip_invalid, report,
              table);
    });
  }
  agree(mesh.world(), "evaluating the file", 0, failure);
  return table;
}

}  // namespace klmesh::eval
