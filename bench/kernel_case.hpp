// One kernel on one kind of rows, and its floors, a piece of the batch after another.
#pragma once

#include <cstring>
#include <vector>

#include "core/kernels.hpp"
#include "floors.hpp"
#include "logit_pool.hpp"
#include "write_floor.hpp"

namespace klmesh::bench {

inline volatile std::uint64_t sink;  // what is measured must not be optimised away

/// Pieces of a batch, of about the same size for every shape. Kernel and memory floor walk through the batch together, so
/// neither finds in the cache what the other left there.
class KernelCase {
 public:
  KernelCase(DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind, std::int64_t pool_bytes)
      : dtype_(dtype), shard_(vocab_shard(vocab_size, 0, 1)), rows_(rows),
        piece_rows_(std::clamp<std::int64_t>(400000 / vocab_size, 1, rows)),
        pool_(dtype, vocab_size, rows, kind, pool_bytes), partials_(static_cast<std::size_t>(piece_rows_)),
        loop_a_(kLoopBytes), loop_b_(kLoopBytes) {
    const std::vector<float> a(kLoopColumns, -0.5f), b(kLoopColumns, -0.7f);
    std::memcpy(loop_a_.data(), a.data(), kLoopBytes);
    std::memcpy(loop_b_.data(), b.data(), kLoopBytes);
  }
  virtual ~KernelCase() = default;

  virtual const char* name() const { return "forward"; }
  /// Arrays of the batch's size that are read or written.
  virtual double streams() const { return 2.0; }
  virtual void kernel() {
    const std::int64_t first = next();
    cpu::row_partials(policy(first), reference(first), shard_, {}, partials_, {});
    sink = partials_[0].flags;
  }
  virtual void memory() {
    each_row(next(), [this](const std::byte* a, const std::byte* b, std::int64_t) { sink = read_both(a, b, row_bytes()); });
  }
  /// The frozen reference loop, over as many pairs as a piece has.
  void arithmetic() {
    for (std::int64_t i = 0; i < loops(); ++i) {
      sink = static_cast<std::uint64_t>(reference_loop(dtype_, loop_a_.data(), loop_b_.data(), kLoopColumns) != 0.0f);
    }
  }

  std::int64_t pairs() const { return piece_rows_ * shard_.columns(); }
  std::int64_t loop_pairs() const { return loops() * kLoopColumns; }

 protected:
  LogitsView policy(std::int64_t first) const { return pool_.policy(first, piece_rows_); }
  LogitsView reference(std::int64_t first) const { return pool_.reference(first, piece_rows_); }
  std::int64_t row_bytes() const { return shard_.columns() * static_cast<std::int64_t>(dtype_bytes(dtype_)); }
  std::int64_t next() {
    const std::int64_t first = position_;
    position_ = position_ + 2 * piece_rows_ > rows_ ? 0 : position_ + piece_rows_;
    return first;
  }
  // Calls body(policy row, reference row, memory row) for the rows of a piece.
  template <typename Body>
  void each_row(std::int64_t first, Body&& body) const {
    const LogitsView a = policy(first), b = reference(first);
    for (std::int64_t row = 0; row < piece_rows_; ++row) {
      const std::int64_t memory_row = a.memory_row(row);
      body(static_cast<const std::byte*>(a.data) + memory_row * row_bytes(),
           static_cast<const std::byte*>(b.data) + memory_row * row_bytes(), memory_row);
    }
  }

  DType dtype_;
  VocabShard shard_;
  std::int64_t rows_, piece_rows_;
  LogitPool pool_;
  std::vector<RowPartial> partials_;

 private:
  static constexpr std::int64_t kLoopColumns = 2048;
  static constexpr std::size_t kLoopBytes = kLoopColumns * sizeof(float);
  std::int64_t loops() const { return pairs() / kLoopColumns + 1; }

  std::int64_t position_ = 0;
  std::vector<std::byte> loop_a_, loop_b_;
};

/// The gradient of kl_reverse in the type of the logits, to memory that is walked through as well.
class GradientCase final : public KernelCase {
 public:
  GradientCase(DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind, std::int64_t pool_bytes)
      : KernelCase(dtype, vocab_size, rows, kind, pool_bytes), scales_(static_cast<std::size_t>(piece_rows_), 1.0),
        output_(static_cast<std::size_t>(pool_.pool_rows() * row_bytes())) {
    // A row of the batch has the statistics of the pool's row that it reads.
    for (std::int64_t row = 0; row < pool_.pool_rows(); ++row) {
      RowPartial partial;
      cpu::row_partials(pool_.policy(row, 1), pool_.reference(row, 1), shard_, {}, {&partial, 1}, {});
      tokens_.push_back(finish(partial, false));
    }
  }

  const char* name() const override { return "gradient"; }
  double streams() const override { return 3.0; }
  void kernel() override {
    const std::int64_t first = next();
    const LogitsView a = policy(first);
    piece_tokens_.clear();
    for (std::int64_t row = 0; row < piece_rows_; ++row) {
      piece_tokens_.push_back(tokens_[static_cast<std::size_t>(a.memory_row(row))]);
    }
    const RowScales scales{.kl_reverse = scales_, .kl_forward = {}, .logp_policy = {}, .entropy_policy = {}};
    std::byte* out = output_.data() + output_row(first) * row_bytes();
    cpu::gradient(a, reference(first), shard_, {}, piece_tokens_, scales,
                  {out, dtype_, piece_rows_, shard_.columns(), shard_.columns(), false});
    sink = static_cast<std::uint64_t>(out[0]);
  }
  void memory() override {
    const std::int64_t first = next();
    std::byte* out = output_.data() + output_row(first) * row_bytes();
    each_row(first, [&](const std::byte* a, const std::byte* b, std::int64_t) {
      read_both_write_one(a, b, row_bytes(), out);
      out += row_bytes();
    });
    sink = static_cast<std::uint64_t>(output_[0]);
  }

 private:
  std::int64_t output_row(std::int64_t first) const {
    return first % std::max<std::int64_t>(1, pool_.pool_rows() - piece_rows_ + 1);
  }

  std::vector<double> scales_;
  std::vector<std::byte> output_;
  std::vector<TokenStats> tokens_, piece_tokens_;
};

}  // namespace klmesh::bench
