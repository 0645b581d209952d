// Layers and matrix products on the device against sums in double.
#include <gmock/gmock.h>

#include <cmath>

#include "core/cuda/device_array.hpp"
#include "klmesh/error.hpp"
#include "loop/cuda/gemm.hpp"
#include "loop/cuda/layers.hpp"
#include "loop/normals.hpp"

namespace klmesh::loop {
namespace {

using test::DeviceArray;
using test::TestStream;

TEST(CudaLayers, BiasAndTanh) {
  constexpr std::size_t kRows = 7, kColumns = 61;
  const TestStream stream;
  const std::vector<float> values = normals(kRows * kColumns, 1), bias = normals(kColumns, 2);
  const DeviceArray<float> plain(values), squashed(values), bias_there(bias);
  cuda::add_bias(plain.span(), bias_there.span(), stream.ref());
  cuda::add_bias_tanh(squashed.span(), bias_there.span(), stream.ref());
  const std::vector<float> sums = plain.host(), tanhs = squashed.host();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float sum = values[i] + bias[i % kColumns];
    EXPECT_EQ(sums[i], sum) << i;
    EXPECT_NEAR(tanhs[i], std::tanh(double{sum}), 2.5e-7) << i;  // two units in the last place, as documented for tanhf
  }
}

TEST(CudaLayers, TanhBackward) {
  const TestStream stream;
  const std::vector<float> hidden = normals(1000, 3), gradient = normals(1000, 4);
  const DeviceArray<float> hidden_there(hidden), there(gradient);
  cuda::tanh_backward(hidden_there.span(), there.span(), stream.ref());
  const std::vector<float> got = there.host();
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], gradient[i] * (1.0f - hidden[i] * hidden[i])) << i;
}

// One rounding: the sums are those of doubles. Strided, and of every number of rows modulo the lanes.
TEST(CudaLayers, ColumnSums) {
  for (const std::int64_t columns : {1, 31, 33, 200}) {
    for (const std::int64_t rows : {0, 1, 7, 8, 9, 130}) {
      const std::int64_t stride = columns + 5;
      const TestStream stream;
      const std::vector<float> values = normals(static_cast<std::size_t>(rows * stride), 5);
      const DeviceArray<float> there(values), sums(static_cast<std::size_t>(columns));
      cuda::column_sums({there.data(), rows, columns, stride}, sums.span(), stream.ref());
      const std::vector<float> got = sums.host();
      for (std::int64_t c = 0; c < columns; ++c) {
        double want = 0;
        for (std::int64_t r = 0; r < rows; ++r) want += double{values[static_cast<std::size_t>(r * stride + c)]};
        EXPECT_FLOAT_EQ(got[static_cast<std::size_t>(c)], static_cast<float>(want)) << rows << " x " << columns;
      }
    }
  }
}

// Entry (r, c) of op(matrix).
float entry(const std::vector<float>& matrix, std::int64_t stride, Transpose transpose, std::int64_t r,
            std::int64_t c) {
  return transpose == Transpose::yes ? matrix[static_cast<std::size_t>(c * stride + r)]
                                     : matrix[static_cast<std::size_t>(r * stride + c)];
}

// Small integers: fp32 products are exact in any order, those of TF32 would not be with 13 bits.
TEST(CudaGemm, MultipliesRowMajorMatricesInFp32) {
  constexpr std::int64_t kM = 7, kN = 5, kK = 9, kPad = 3;
  std::mt19937 random(6);
  std::uniform_int_distribution<int> digits(-1023, 1023);
  for (const Transpose ta : {Transpose::no, Transpose::yes}) {
    for (const Transpose tb : {Transpose::no, Transpose::yes}) {
      const TestStream stream;
      const DeviceArray<std::byte> workspace(cuda::Gemm::kWorkspaceBytes);
      cuda::Gemm gemm(workspace.span(), stream.ref());
      const std::int64_t a_rows = ta == Transpose::yes ? kK : kM, a_columns = ta == Transpose::yes ? kM : kK;
      const std::int64_t b_rows = tb == Transpose::yes ? kN : kK, b_columns = tb == Transpose::yes ? kK : kN;
      std::vector<float> a(static_cast<std::size_t>(a_rows * (a_columns + kPad)));
      std::vector<float> b(static_cast<std::size_t>(b_rows * (b_columns + kPad)));
      for (float& x : a) x = static_cast<float>(digits(random));
      for (float& x : b) x = static_cast<float>(digits(random));
      const DeviceArray<float> a_there(a), b_there(b), c_there(std::vector<float>(kM * (kN + kPad), -1.0f));
      gemm.multiply({a_there.data(), a_rows, a_columns, a_columns + kPad}, ta,
                    {b_there.data(), b_rows, b_columns, b_columns + kPad}, tb, {c_there.data(), kM, kN, kN + kPad});
      const std::vector<float> c = c_there.host();
      for (std::int64_t r = 0; r < kM; ++r) {
        for (std::int64_t n = 0; n < kN + kPad; ++n) {
          double want = n < kN ? 0 : -1;  // what lies between the rows is not touched
          for (std::int64_t k = 0; k < kK && n < kN; ++k)
            want += double{entry(a, a_columns + kPad, ta, r, k)} * double{entry(b, b_columns + kPad, tb, k, n)};
          EXPECT_EQ(c[static_cast<std::size_t>(r * (kN + kPad) + n)], want) << r << ", " << n;
        }
      }
    }
  }
}

TEST(CudaGemm, NothingInsideIsZeroAndWrongShapesAreRefused) {
  const TestStream stream;
  const DeviceArray<std::byte> workspace(cuda::Gemm::kWorkspaceBytes);
  cuda::Gemm gemm(workspace.span(), stream.ref());
  const DeviceArray<float> c(std::vector<float>(6, 1.0f));
  gemm.multiply({nullptr, 2, 0, 0}, Transpose::no, {nullptr, 0, 3, 3}, Transpose::no, {c.data(), 2, 3, 3});
  EXPECT_THAT(c.host(), testing::Each(0.0f));
  const Matrix<float> two_by_three{c.data(), 2, 3, 3};
  const Matrix<const float> same{c.data(), 2, 3, 3};
  EXPECT_THROW(gemm.multiply(same, Transpose::no, same, Transpose::no, two_by_three), InvalidArgument);
  EXPECT_THROW(cuda::Gemm({}, host_stream), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::loop
