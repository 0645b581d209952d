#include "io/logits_file.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "io/logits_examples.hpp"
#include "klmesh/eval_file.hpp"
#include "io/python.hpp"
#include "io/scratch_directory.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();

class LogitsFileTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!have_h5py()) GTEST_SKIP() << "no h5py";
  }
};

// Normal numbers and zero, which are what the examples hold.
double half_to_double(std::uint16_t bits) {
  if ((bits & 0x7FFF) == 0) return 0;
  const double magnitude = std::ldexp(1024 + (bits & 0x3FF), ((bits >> 10) & 31) - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

double element(ElementType type, const std::vector<std::byte>& bytes, std::size_t i) {
  const auto as = [&]<typename T>(T value) {
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    return value;
  };
  if (type == ElementType::f64) return as(double{});
  if (type == ElementType::f32) return as(float{});
  const std::uint16_t bits = as(std::uint16_t{});
  return type == ElementType::f16 ? half_to_double(bits)
                                  : std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::vector<double> read(const LogitsFile& file, Side side, int first_row, int rows, int first_column,
                         int columns) {
  const std::size_t size = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  std::vector<std::byte> bytes(size * element_bytes(file.type(side)));
  file.read_logits(side, first_row, rows, first_column, columns, bytes.data());
  std::vector<double> values;
  for (std::size_t i = 0; i < size; ++i) values.push_back(element(file.type(side), bytes, i));
  return values;
}

template <typename Value>
std::vector<double> expected(Value value, int first_row, int rows, int first_column, int columns) {
  std::vector<double> values;
  for (int row = first_row; row < first_row + rows; ++row)
    for (int column = first_column; column < first_column + columns; ++column)
      values.push_back(value(row, column));
  return values;
}

void expect_all_ranges_read(const LogitsFile& file) {
  for (int row = 0; row < example_rows; ++row)
    for (int rows = 0; rows <= example_rows - row; rows += 2)
      for (int column = 0; column < example_columns; ++column) {
        const int columns = example_columns - column;
        EXPECT_EQ(read(file, Side::policy, row, rows, column, columns),
                  expected(policy_example, row, rows, column, columns));
        EXPECT_EQ(read(file, Side::reference, row, rows, column, columns),
                  expected(reference_example, row, rows, column, columns));
      }
}

void expect_reads(const std::string& name, ElementType policy, ElementType reference) {
  SCOPED_TRACE(name);
  const LogitsFile file = LogitsFile::open(logits_example(name));
  EXPECT_EQ(file.rows(), example_rows);
  EXPECT_EQ(file.vocab_size(), example_columns);
  EXPECT_EQ(file.type(Side::policy), policy);
  EXPECT_EQ(file.type(Side::reference), reference);
  EXPECT_TRUE(file.has_logits());
  EXPECT_FALSE(file.has_logp() || file.has_targets() || file.has_mask() || file.has_sequence());
  expect_all_ranges_read(file);
}

TEST_F(LogitsFileTest, ReadsEveryElementTypeInEitherByteOrder) {
  using enum ElementType;
  for (const char* order : {"le", "be"}) {
    expect_reads(std::string("f16_") + order, f16, f16);
    expect_reads(std::string("f32_") + order, f32, f32);
    expect_reads(std::string("f64_") + order, f64, f64);
  }
  for (const char* name : {"bf16_variable", "bf16_fixed", "bf16_padded", "bf16_one"})
    expect_reads(name, bf16, bf16);
  expect_reads("mixed", f16, f64);
}

TEST_F(LogitsFileTest, ReadsEveryStorage) {
  for (const char* name : {"gzip", "checksum", "unlimited", "latest", "user_block", "strangers"})
    expect_reads(name, ElementType::f32, ElementType::f32);
}

TEST_F(LogitsFileTest, GivesTheShapeOfChunks) {
  const LogitsFile chunked = LogitsFile::open(logits_example("gzip"));
  EXPECT_EQ(chunked.rows_per_chunk(Side::policy), 3);
  EXPECT_EQ(chunked.columns_per_chunk(Side::policy), 2);
  const LogitsFile contiguous = LogitsFile::open(logits_example("f32_le"));
  EXPECT_EQ(contiguous.rows_per_chunk(Side::reference), 1);
  EXPECT_EQ(contiguous.columns_per_chunk(Side::reference), example_columns);
}

TEST_F(LogitsFileTest, VocabSizeAllowsPadding) {
  const LogitsFile file = LogitsFile::open(logits_example("padded"));
  EXPECT_EQ(file.vocab_size(), example_columns);
  EXPECT_EQ(file.columns(Side::policy), example_columns);
  EXPECT_EQ(file.columns(Side::reference), example_columns + 3);
  expect_all_ranges_read(file);
  EXPECT_EQ(LogitsFile::open(logits_example("padded_both")).vocab_size(), 4);
}

TEST_F(LogitsFileTest, ReadsWhatAccompaniesTheRows) {
  const LogitsFile file = LogitsFile::open(logits_example("companions"));
  ASSERT_TRUE(file.has_targets() && file.has_mask() && file.has_sequence());
  std::vector<std::int64_t> targets(7), sequence(3);
  std::vector<std::uint8_t> mask(7);
  file.read_targets(0, targets);
  file.read_sequence(4, sequence);
  file.read_mask(0, mask);
  EXPECT_THAT(targets, ElementsAre(0, 1, 2, 3, 4, 0, 1));
  EXPECT_THAT(sequence, ElementsAre(1, -2, 2));
  EXPECT_THAT(mask, ElementsAre(1, 0, 1, 1, 0, 1, 1));
  LogitsFile::open(logits_example("booleans")).read_mask(1, {mask.data(), 4});
  EXPECT_THAT(mask, ElementsAre(0, 1, 1, 0, 0, 1, 1));
  LogitsFile::open(logits_example("f32_le")).read_mask(0, mask);
  EXPECT_THAT(mask, Each(1));
}

TEST_F(LogitsFileTest, UnsignedValuesBeyondTheSignedRangeDoNotWrapIntoIt) {
  const LogitsFile file = LogitsFile::open(logits_example("unsigned"));
  std::vector<std::int64_t> targets(7), sequence(7);
  file.read_targets(0, targets);
  file.read_sequence(0, sequence);
  EXPECT_THAT(targets, ElementsAre(0, largest, largest, largest, 1, 2, 3));
  EXPECT_EQ(file.target_text(1), "18446744073709551615");
  EXPECT_EQ(file.target_text(2), "9223372036854775808");
  EXPECT_EQ(file.target_text(4), "1");
  EXPECT_THAT(sequence, ElementsAre(0, -1, -largest - 1, largest, 1, 2, 3));  // all different
}

TEST_F(LogitsFileTest, ReadsLogProbabilities) {
  for (const char* name : {"logp", "logp_f16", "logp_bf16"}) {
    SCOPED_TRACE(name);
    const LogitsFile file = LogitsFile::open(logits_example(name));
    EXPECT_TRUE(file.has_logp());
    EXPECT_FALSE(file.has_logits() || file.has_targets());
    EXPECT_EQ(file.rows(), 7);
    EXPECT_EQ(file.vocab_size(), 0);
    std::vector<double> out(3);
    file.read_logp(Side::policy, 2, out);
    EXPECT_THAT(out, ElementsAre(-0.5, -0.75, -1));
    file.read_logp(Side::reference, 4, out);
    EXPECT_THAT(out, ElementsAre(-0.5, -0.625, -0.75));
    EXPECT_THROW(file.columns(Side::policy), InvalidArgument);
    EXPECT_THROW(file.read_logits(Side::policy, 0, 1, 0, 1, out.data()), InvalidArgument);
  }
}

TEST_F(LogitsFileTest, ZeroRowsAreAllowed) {
  const LogitsFile file = LogitsFile::open(logits_example("no_rows"));
  EXPECT_EQ(file.rows(), 0);
  EXPECT_TRUE(file.has_mask());
  EXPECT_NO_THROW(file.read_logits(Side::policy, 0, 0, 0, 5, nullptr));
}

TEST_F(LogitsFileTest, RangesMustLieInside) {
  const LogitsFile file = LogitsFile::open(logits_example("companions"));
  std::vector<std::byte> out(10000);
  std::vector<std::int64_t> two(2);
  EXPECT_THROW(file.read_logits(Side::policy, 0, 8, 0, 5, out.data()), InvalidArgument);
  EXPECT_THROW(file.read_logits(Side::policy, 0, 1, 3, 3, out.data()), InvalidArgument);
  EXPECT_THROW(file.read_logits(Side::policy, -1, 1, 0, 1, out.data()), InvalidArgument);
  EXPECT_THROW(file.read_logits(Side::policy, 1, largest, 0, 1, out.data()), InvalidArgument);
  EXPECT_THROW(file.read_targets(6, two), InvalidArgument);
}

TEST_F(LogitsFileTest, AMuchLargerFileThanMemoryIsReadInParts) {
  const LogitsFile file = LogitsFile::open(logits_example("large_sparse"));
  EXPECT_EQ(file.rows(), std::int64_t{1} << 40);
  std::vector<float> row(50257, 1);
  file.read_logits(Side::policy, (std::int64_t{1} << 40) - 1, 1, 0, 50257, row.data());
  EXPECT_THAT(row, Each(0));
}

TEST_F(LogitsFileTest, ChunksReadRowByRowAreDecompressedOnce) {
  const ScratchDirectory directory;
  // Noise, so that a chunk of 1 MB is 1 MB in the file, too.
  ASSERT_EQ(run_python(R"(
import sys, h5py, numpy as np
x = np.random.default_rng(1).random((128, 8192), "f4")
with h5py.File(sys.argv[1], "w") as f:
    for key in ["policy_logits", "reference_logits"]:
        f.create_dataset(key, data=x, chunks=(128, 2048), compression=1)
)",
                       (directory / "noise.h5").string()),
            "");
  const auto bytes_read = [] {
    const std::string text = read_text("/proc/self/io");  // "rchar: N"
    return std::stod(text.substr(text.find(' ')));
  };
  const LogitsFile file = LogitsFile::open(directory / "noise.h5");
  std::vector<float> row(8192);
  const double before = bytes_read();
  for (int i = 0; i < 128; ++i) file.read_logits(Side::policy, i, 1, 0, 8192, row.data());
  EXPECT_GT(bytes_read() - before, 3e6);  // else this measures nothing
  EXPECT_LT(bytes_read() - before, 6e6);  // four chunks
}

TEST_F(LogitsFileTest, ChunksReadInPartDoNotFillMemory) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer keeps what is freed";
#endif
  const ScratchDirectory directory;
  ASSERT_EQ(run_python(R"(
import sys, zlib, h5py
with h5py.File(sys.argv[1], "w") as f:
    packed = zlib.compress(b"\0" * (16 << 20), 1)
    for key in ["policy_logits", "reference_logits"]:
        d = f.create_dataset(key, (16 << 14, 256), "f4", chunks=(1 << 14, 256), compression=1)
        for i in range(16):
            d.id.write_direct_chunk((i << 14, 0), packed)
)",
                       (directory / "zeros.h5").string()),
            "");
  const auto resident_bytes = [] {
    const std::string text = read_text("/proc/self/statm");  // pages: all, resident, ...
    return std::stod(text.substr(text.find(' '))) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  };
  const LogitsFile file = LogitsFile::open(directory / "zeros.h5");
  std::vector<float> row(100);
  const double before = resident_bytes();
  for (int i = 0; i < 16; ++i) file.read_logits(Side::policy, i << 14, 1, 0, 100, row.data());
  EXPECT_LT(resident_bytes() - before, 64 << 20);  // of 256 MiB
}

TEST(LogitsFile, ReadsWhatCommitMatrixWrites) {
  const ScratchDirectory directory;
  const std::vector<float> policy{1, 2, 3, 4, 5, 6}, reference{1, 2, 3, -4, -5, -6, 7.5F, 8};
  const std::vector<std::int64_t> targets{2, 0}, sequence{0, 1};
  const std::vector<std::uint8_t> mask{1, 0};
  commit_eval_file(directory / "x.h5", {2, 3, 3, 4, policy, reference, targets, mask, sequence, ""});
  const LogitsFile file = LogitsFile::open(directory / "x.h5");
  std::vector<float> all(8);
  file.read_logits(Side::reference, 0, 2, 0, 4, all.data());
  EXPECT_EQ(all, reference);
  std::vector<std::int64_t> read_targets(2);
  file.read_targets(0, read_targets);
  EXPECT_EQ(read_targets, targets);
  EXPECT_EQ(file.vocab_size(), 3);
  EXPECT_TRUE(file.has_mask() && file.has_sequence());
}

}  // namespace
}  // namespace klmesh::io
