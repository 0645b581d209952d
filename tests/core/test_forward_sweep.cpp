// The forward kernel of 32- and 16-bit logits against the oracle, over noise, shapes, sizes and types: what part of the
// bars of NUMERICS.md the worst row takes, and the same bits on every mesh of whole subtrees.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <map>

#include "core/cpu/decode.hpp"
#include "core/fold.hpp"
#include "core/kernels.hpp"
#include "core/oracle.hpp"
#include "core/rows.hpp"

namespace klmesh::test {
namespace {

// One row pair as it lies in memory, and as the numbers that it holds.
struct StoredPair {
  DType dtype;
  std::vector<std::byte> policy_bytes, reference_bytes;
  RowPair<float> values;

  StoredPair(DType type, const RowPair<float>& pair)
      : dtype(type), policy_bytes(pair.policy.size() * dtype_bytes(type)), reference_bytes(policy_bytes.size()),
        values{pair.name, std::vector<float>(pair.policy.size()), std::vector<float>(pair.policy.size())} {
    const auto columns = static_cast<std::int64_t>(pair.policy.size());
    cpu::encode(pair.policy.data(), columns, type, policy_bytes.data());
    cpu::encode(pair.reference.data(), columns, type, reference_bytes.data());
    cpu::decode(policy_bytes.data(), type, columns, values.policy.data());
    cpu::decode(reference_bytes.data(), type, columns, values.reference.data());
  }

  TokenStats evaluate(int parts) const {
    const auto vocab = static_cast<std::int64_t>(values.policy.size());
    std::vector<RowPartial> partials(static_cast<std::size_t>(parts));
    for (int part = 0; part < parts; ++part) {
      const VocabShard shard = vocab_shard(vocab, part, parts);
      const auto view = [&](const std::vector<std::byte>& bytes) -> LogitsView {
        return {bytes.data() + static_cast<std::size_t>(shard.begin) * dtype_bytes(dtype), dtype, 1, shard.columns(),
                shard.columns()};
      };
      cpu::row_partials(view(policy_bytes), view(reference_bytes), shard, {},
                        {&partials[static_cast<std::size_t>(part)], 1}, {});
    }
    return finish(fold(partials), false);
  }
};

// Errors as parts of their bars.
class Worst {
 public:
  void see(const std::string& quantity, double got, long double want, long double bar, const std::string& row) {
    if (std::isinf(want)) {
      EXPECT_EQ(got, static_cast<double>(want)) << quantity << ", " << row;
      return;
    }
    const auto part = static_cast<double>(std::fabs(got - want) / bar);
    EXPECT_LE(part, 1.0) << quantity << ", " << row << ": " << got << " for " << static_cast<double>(want);
    Entry& entry = entries_[quantity];
    if (part >= entry.part) entry = {part, row};
  }
  void print(long rows) const {
    for (const auto& [quantity, entry] : entries_) {
      std::printf("# %-18s worst error / bar %.3f   %s\n", quantity.c_str(), entry.part, entry.row.c_str());
    }
    std::printf("# %ld rows\n", rows);
  }

 private:
  struct Entry {
    double part = 0.0;
    std::string row;
  };
  std::map<std::string, Entry> entries_;
};

class ForwardSweep : public ::testing::Test {
 protected:
  void check(DType dtype, const RowPair<float>& pair) {
    const StoredPair stored(dtype, pair);
    const OracleRow want = oracle<float>(stored.values.policy, stored.values.reference);
    const TokenStats got = stored.evaluate(1);
    const std::string row = pair.name + ", " + std::to_string(pair.policy.size()) + " columns, " +
                            (dtype == DType::f32 ? "f32" : dtype == DType::bf16 ? "bf16" : "f16");
    if (std::isinf(want.lse_policy) || std::isinf(want.lse_reference)) {
      EXPECT_TRUE(got.invalid_logits()) << row;
      return;
    }
    const auto kl_bar = [](long double kl) { return 2e-6L * std::max(kl, 1e-12L); };
    const long double log_bar = std::max(want.kl_reverse, want.kl_forward) > 1 ? 1.5e-6L : 5e-7L;
    const auto bar = [&](long double x) { return log_bar * std::max(1.0L, std::fabs(x)); };
    worst_.see("kl_reverse", got.kl_reverse, want.kl_reverse, kl_bar(want.kl_reverse), row);
    worst_.see("kl_forward", got.kl_forward, want.kl_forward, kl_bar(want.kl_forward), row);
    worst_.see("entropy_policy", got.entropy_policy, want.entropy_policy, bar(want.entropy_policy), row);
    worst_.see("entropy_reference", got.entropy_reference, want.entropy_reference, bar(want.entropy_reference), row);
    worst_.see("lse_policy", got.normalizer.lse_policy, want.lse_policy, bar(want.lse_policy), row);
    worst_.see("lse_reference", got.lse_reference, want.lse_reference, bar(want.lse_reference), row);
    EXPECT_GE(got.kl_reverse, 0.0) << row;
    EXPECT_GE(got.kl_forward, 0.0) << row;
    for (const int parts : {2, 8, 64}) {
      const TokenStats split = stored.evaluate(parts);
      EXPECT_EQ(std::memcmp(&got, &split, sizeof got), 0) << row << ", parts " << parts;
    }
    ++rows_;
  }

  void TearDown() override { worst_.print(rows_); }

  static constexpr DType kTypes[] = {DType::f32, DType::bf16, DType::f16};
  Worst worst_;
  long rows_ = 0;
};

TEST_F(ForwardSweep, NoiseSizesAndTypes) {
  for (const std::size_t columns : {1, 2, 15, 16, 17, 1000, 32000, 50257}) {
    const unsigned seeds = columns <= 1000 ? 8 : 1;
    for (unsigned seed = 1; seed <= seeds; ++seed) {
      RowFactory<float> factory(columns, seed);
      for (const double noise : {1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0, 30.0}) {
        for (const DType dtype : kTypes) check(dtype, factory.noisy(noise));
      }
    }
  }
}

TEST_F(ForwardSweep, HardRows) {
  for (const std::size_t columns : {std::size_t{1000}, std::size_t{4099}, std::size_t{32000}}) {
    for (const auto& pair : RowFactory<float>(columns, 5).adversarial()) {
      for (const DType dtype : kTypes) {
        if (dtype == DType::f32 || columns < 32000) check(dtype, pair);
      }
    }
  }
}

// A token that stands alone, wherever it lies in its slice, with a tail of any weight.
TEST_F(ForwardSweep, PeakedRows) {
  for (const std::size_t columns : {std::size_t{1000}, std::size_t{5003}}) {
    RowFactory<float> factory(columns, 9);
    for (const double top : {8.0, 12.0, 16.0, 20.0, 25.0, 40.0}) {
      for (const double noise : {1e-6, 1e-3, 0.1, 1.0}) {
        for (const std::size_t at : {std::size_t{0}, columns / 2, columns - 1}) {
          RowPair<float> pair = factory.noisy(noise, 1.0);
          pair.name = "peak of " + std::to_string(top) + " at " + std::to_string(at) + ", " + pair.name;
          pair.policy[at] = pair.reference[at] = static_cast<float>(top);
          check(DType::f32, pair);
          pair.name += ", moved";
          pair.reference[at] += static_cast<float>(noise);
          check(DType::f32, pair);
        }
      }
    }
  }
}

}  // namespace
}  // namespace klmesh::test
