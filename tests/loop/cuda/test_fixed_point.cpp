// Fixed-point sums on the device against the host's: the same words and the same validity from the same values.
#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "core/cuda/device_array.hpp"
#include "klmesh/vocab_shard.hpp"
#include "loop/cuda/adam.hpp"
#include "loop/cuda/embeddings.hpp"
#include "loop/cuda/fixed_point.hpp"
#include "loop/host/fixed_point_sums.hpp"

namespace klmesh::loop {
namespace {

using test::DeviceArray;
using test::TestStream;

std::vector<float> some_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> exponent(-60, 8);
  std::vector<float> values(count);
  for (float& value : values) value = std::ldexp(normal(random), exponent(random));
  return values;
}

/// A tensor and its bound on the host.
struct HostTensor {
  std::vector<std::int64_t> words;
  std::int64_t bound = 0;

  explicit HostTensor(std::size_t count) : words(count, 0) {}
  FixedPointTensor view() { return {words.data(), static_cast<std::int64_t>(words.size()), &bound}; }
  bool valid() const { return is_valid_bound(bound); }
};

/// The same on the device.
struct DeviceTensor {
  DeviceArray<std::int64_t> words, bound{1};
  DeviceArray<std::uint32_t> largest{1};

  explicit DeviceTensor(std::size_t count)
      : words(std::vector<std::int64_t>(count, 0)), bound(std::vector<std::int64_t>{0}) {}
  FixedPointTensor view() const { return {words.data(), static_cast<std::int64_t>(words.size()), bound.data()}; }
  bool valid() const { return is_valid_bound(bound.host()[0]); }
};

TEST(CudaFixedPoint, AddsTheHostsWords) {
  for (const std::size_t count : {1u, 31u, 256u, 257u, 70'001u}) {
    const TestStream stream;
    HostTensor host(count);
    const DeviceTensor device(count);
    for (unsigned time = 0; time < 2; ++time) {
      const std::vector<float> values = some_values(count, time);
      const DeviceArray<float> there(values);
      add(host.view(), 0, values);
      cuda::add(there.span(), device.view(), device.largest.data(), stream.ref());
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);  // `there` ends here
    }
    EXPECT_THAT(device.words.host(), testing::ElementsAreArray(host.words)) << count;
    EXPECT_EQ(device.bound.host()[0], host.bound) << count;
    const DeviceArray<float> got(count);
    cuda::read(device.words.span(), got.span(), stream.ref());
    std::vector<float> want(count);
    read(host.words, want);
    EXPECT_EQ(got.host(), want) << count;
  }
}

// The bound of one call is that of the host: exactly the largest magnitude, rounded up.
TEST(CudaFixedPoint, TheBoundGrowsByTheLargestMagnitude) {
  const TestStream stream;
  const DeviceTensor device(1000);
  std::vector<float> values(1000, 0.25f);
  values[777] = -3.1f;
  const DeviceArray<float> there(values);
  cuda::add(there.span(), device.view(), device.largest.data(), stream.ref());
  cuda::add(there.span(), device.view(), device.largest.data(), stream.ref());
  EXPECT_EQ(device.bound.host()[0], 2 * static_cast<std::int64_t>(std::ceil(double{3.1f} * 0x1p30)));
}

TEST(CudaFixedPoint, RefusesWhatTheHostRefuses) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, -nan, infinity, -infinity, 2048.0f, -1e30f, 2047.9f, 0.0f}) {
    const TestStream stream;
    std::vector<float> values(300, 0.5f);
    values[299] = bad;
    HostTensor host(300);
    add(host.view(), 0, values);
    const DeviceTensor device(300);
    const DeviceArray<float> there(values);
    cuda::add(there.span(), device.view(), device.largest.data(), stream.ref());
    EXPECT_EQ(device.valid(), host.valid()) << bad;
  }
}

TEST(CudaFixedPoint, ASumThatMayWrapIsRefused) {
  const TestStream stream;
  const DeviceTensor device(1);
  const DeviceArray<float> there(std::vector<float>{2000.0f});
  for (int time = 0; time < 4; ++time) cuda::add(there.span(), device.view(), device.largest.data(), stream.ref());
  EXPECT_TRUE(device.valid());
  cuda::add(there.span(), device.view(), device.largest.data(), stream.ref());
  EXPECT_FALSE(device.valid());
}

TEST(CudaFixedPoint, ValidityTravels) {
  const TestStream stream;
  constexpr std::int64_t kSaturated = kBoundSaturated, kLimit = kBoundLimit;
  const DeviceArray<std::int64_t> bounds(std::vector<std::int64_t>{0, kLimit - 1, kLimit, 3 * kSaturated});
  const DeviceArray<std::uint64_t> flags(4);
  cuda::saturate(bounds.span(), stream.ref());
  cuda::flag_invalid(bounds.span(), flags.span(), stream.ref());
  EXPECT_THAT(bounds.host(), testing::ElementsAre(0, kLimit - 1, kLimit, kSaturated));
  EXPECT_THAT(flags.host(), testing::ElementsAre(0u, 0u, 1u, 1u));
  const DeviceArray<std::uint64_t> others(std::vector<std::uint64_t>{1, 0, 0, 0});
  cuda::invalidate_flagged(others.span(), bounds.span(), stream.ref());
  cuda::invalidate_if(bounds.data() + 2, bounds.data() + 1, stream.ref());
  EXPECT_THAT(bounds.host(), testing::ElementsAre(kSaturated, kSaturated, kLimit, kSaturated));
}

// Words that occur often, never, and in other shards.
TEST(CudaEmbeddings, ScatterAddsTheHostsWords) {
  const VocabShard shard = vocab_shard(3000, 1, 3);
  for (const std::int64_t width : {1, 24, 32, 33}) {
    const TestStream stream;
    std::vector<std::int32_t> words;
    for (std::int32_t i = 0; i < 400; ++i) words.push_back(i % 4 == 0 ? 1200 : (i * 37) % 3000);
    const std::vector<float> gradients = some_values(words.size() * static_cast<std::size_t>(width), 3);
    HostTensor host(static_cast<std::size_t>(shard.columns() * width));
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (!shard.contains(words[i])) continue;
      add(host.view(), (words[i] - shard.begin) * width,
          std::span(gradients).subspan(i * static_cast<std::size_t>(width), static_cast<std::size_t>(width)));
    }
    const DeviceTensor device(static_cast<std::size_t>(shard.columns() * width));
    const DeviceArray<std::int32_t> words_there(words);
    const DeviceArray<float> gradients_there(gradients);
    cuda::scatter(shard, words_there.span(), gradients_there.span(), device.view(), stream.ref());
    EXPECT_THAT(device.words.host(), testing::ElementsAreArray(host.words)) << width;
    EXPECT_EQ(device.bound.host()[0], host.bound);
  }
}

TEST(CudaEmbeddings, ScatterRefusesWhatIsInvalidAndWhatAddsUpToTooMuch) {
  const VocabShard shard = vocab_shard(100, 0, 1);
  for (const auto& [value, valid] : {std::pair{20.0f, true}, {21.0f, false}, {NAN, false}}) {
    const TestStream stream;
    const DeviceArray<std::int32_t> words(std::vector<std::int32_t>(400, 5));
    const DeviceArray<float> gradients(std::vector<float>(800, value));
    const DeviceTensor device(200);
    cuda::scatter(shard, words.span(), gradients.span(), device.view(), stream.ref());
    EXPECT_EQ(device.valid(), valid) << value;
  }
}

TEST(CudaEmbeddings, LookUpCopiesTheShardsRowsAndLeavesTheOthersZero) {
  const VocabShard shard = vocab_shard(3000, 1, 3);
  constexpr std::int64_t kWidth = 5;
  const TestStream stream;
  const std::vector<float> table = some_values(static_cast<std::size_t>(shard.columns() * kWidth), 1);
  const std::vector<std::int32_t> words{static_cast<std::int32_t>(shard.begin), static_cast<std::int32_t>(shard.end - 1),
                                        static_cast<std::int32_t>(shard.end), 0, -1, 1500, 5000};
  const DeviceArray<float> table_there(table), inputs(words.size() * kWidth);
  const DeviceArray<std::int32_t> words_there(words);
  cuda::look_up(shard, {table_there.data(), shard.columns(), kWidth, kWidth}, words_there.span(), inputs.span(),
                stream.ref());
  const std::vector<float> got = inputs.host();
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::int32_t word = words[i / kWidth];
    const std::size_t there = static_cast<std::size_t>((word - shard.begin) * kWidth) + i % kWidth;
    const float want = shard.contains(word) ? table[there] : 0.0f;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(want)) << i;
  }
}

TEST(CudaAdam, StepsAsTheHostDoes) {
  constexpr std::size_t kSize = 1001;
  const TestStream stream;
  std::vector<float> parameters = some_values(kSize, 8), first(kSize, 0.0f), second(kSize, 0.0f);
  const DeviceArray<float> there(parameters), first_there(first), second_there(second);
  for (unsigned step = 1; step <= 3; ++step) {
    HostTensor gradient(kSize);
    add(gradient.view(), 0, some_values(kSize, 20 + step));
    const AdamCoefficients k{0.1f, 0.01f, 1.0f / (0.01f * static_cast<float>(step)), 1e-8f, 0.01f, 0.001f};
    for (std::size_t i = 0; i < kSize; ++i) adam_update(parameters[i], gradient.words[i], first[i], second[i], k);
    const DeviceArray<std::int64_t> words(gradient.words);
    cuda::adam_step(there.span(), words.span(), first_there.span(), second_there.span(), k, stream.ref());
    EXPECT_EQ(there.host(), parameters) << "step " << step;
  }
  EXPECT_EQ(first_there.host(), first);
  EXPECT_EQ(second_there.host(), second);
}

}  // namespace
}  // namespace klmesh::loop
