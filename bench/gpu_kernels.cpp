#include "gpu_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "core/cpu/decode.hpp"
#include "core/cuda/gradient.hpp"
#include "core/cuda/kernels.hpp"
#include "core/cuda/second_stage.hpp"
#include "core/fold.hpp"
#include "core/kernels.hpp"
#include "engine/cuda/owned_stream.hpp"

namespace klmesh::bench {
namespace {

constexpr double kNoRenyi = std::numeric_limits<double>::quiet_NaN();

class Event {
 public:
  Event() { cuda::check(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }  // a destructor has nobody to tell
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(StreamRef stream) { cuda::check(cudaEventRecord(event_, cuda::native(stream)), "cudaEventRecord"); }
  double seconds_since(const Event& start) const {
    float milliseconds = 0.0f;
    cuda::check(cudaEventSynchronize(event_), "cudaEventSynchronize");
    cuda::check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "cudaEventElapsedTime");
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t event_ = nullptr;
};

template <typename T>
std::vector<T> on_host(std::span<const T> device) {
  std::vector<T> values(device.size());
  cuda::check(cudaMemcpy(values.data(), device.data(), device.size_bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  return values;
}

// The outputs of all kernels for some rows, in device memory.
class KernelCalls {
 public:
  KernelCalls(GpuPool& pool, std::int64_t rows)
      : pool_(&pool), rows_(rows), shard_(vocab_shard(pool.vocab_size(), 0, 1)),
        weights_(static_cast<std::size_t>(rows), 0.25) {
    const auto count = static_cast<std::size_t>(rows);
    partials_.reserve(count * sizeof(RowPartial));
    extended_.reserve(count * sizeof(ExtendedPartial));
    second_.reserve(count * sizeof(SecondStagePartial));
    tokens_.reserve(count * sizeof(TokenStats));
    scales_.reserve(count * sizeof(double));
    workspace_.reserve(cuda::row_partials_workspace_bytes(rows, shard_, true));
    gradient_.reserve(count * static_cast<std::size_t>(pool.vocab_size()) * dtype_bytes(pool.dtype()));
    cuda::check(cudaMemcpy(scales_.data(), weights_.data(), count * sizeof(double), cudaMemcpyHostToDevice), "cudaMemcpy");
  }

  void call(std::size_t piece, StreamRef stream) {
    const auto [policy, reference] = pool_->next(rows_);
    const auto count = static_cast<std::size_t>(rows_);
    if (piece == 0) {
      cuda::check(cudaMemcpyAsync(gradient_.data(), policy.data, gradient_.bytes(), cudaMemcpyDeviceToDevice,
                                  cuda::native(stream)), "cudaMemcpyAsync");
    } else if (piece == 1 || piece == 2) {
      const auto extended = extended_.at<ExtendedPartial>(0, piece == 2 ? count : 0);
      cuda::row_partials(policy, reference, shard_, {}, partials(), extended, kNoRenyi, workspace_.span(), stream);
    } else if (piece == 3) {
      cuda::second_stage(policy, reference, shard_, {}, tokens(), second(), stream);
    } else {
      cuda::gradient(policy, reference, shard_, {}, tokens(), scales(scales_.at<double>(0, count)), gradient_view(), stream);
    }
  }

  /// Makes the tokens that second stage and gradient take, of the partials.
  void finish_rows() {
    std::vector<TokenStats> tokens;
    for (const RowPartial& p : on_host<RowPartial>(partials())) tokens.push_back(finish(p, false));
    cuda::check(cudaMemcpy(tokens_.data(), tokens.data(), tokens.size() * sizeof(TokenStats), cudaMemcpyHostToDevice), "cudaMemcpy");
  }

  /// Rows, of the first few, that are not the CPU's.
  int count_errors() const;

 private:
  std::span<RowPartial> partials() const { return partials_.at<RowPartial>(0, static_cast<std::size_t>(rows_)); }
  std::span<TokenStats> tokens() const { return tokens_.at<TokenStats>(0, static_cast<std::size_t>(rows_)); }
  std::span<SecondStagePartial> second() const { return second_.at<SecondStagePartial>(0, static_cast<std::size_t>(rows_)); }
  GradientView gradient_view() const {
    return {gradient_.data(), pool_->dtype(), rows_, pool_->vocab_size(), pool_->vocab_size(), false};
  }
  static RowScales scales(std::span<const double> values) {
    return {.kl_reverse = values, .kl_forward = {}, .logp_policy = {}, .entropy_policy = {}, .jensen_shannon = {}};
  }

  GpuPool* pool_;
  std::int64_t rows_;
  VocabShard shard_;
  std::vector<double> weights_;
  DeviceMemory partials_, extended_, second_, tokens_, scales_, workspace_, gradient_;
};

// Twice the bars of NUMERICS, relative and absolute: two results are compared, and each may be off by one.
bool close(double x, double y, double bar, double absolute = 1e-15) { return std::fabs(x - y) <= bar * std::fabs(y) + absolute; }

int KernelCalls::count_errors() const {
  const auto [policy, reference] = pool_->host_rows(std::min<std::int64_t>(rows_, 2));
  const auto count = static_cast<std::size_t>(policy.rows);
  const auto columns = static_cast<std::size_t>(pool_->vocab_size());
  std::vector<RowPartial> want(count);
  std::vector<ExtendedPartial> want_extended(count);
  cpu::row_partials(policy, reference, shard_, {}, want, want_extended);
  std::vector<TokenStats> want_tokens;
  for (const RowPartial& p : want) want_tokens.push_back(finish(p, false));
  std::vector<SecondStagePartial> want_second(count);
  cpu::second_stage(policy, reference, shard_, {}, want_tokens, want_second);
  std::vector<float> want_gradient(count * columns);
  cpu::gradient(policy, reference, shard_, {}, want_tokens, scales(weights_),
                {want_gradient.data(), DType::f32, policy.rows, pool_->vocab_size(), pool_->vocab_size(), false});

  const auto have = on_host<RowPartial>(partials());
  const auto have_extended = on_host<ExtendedPartial>(extended_.at<ExtendedPartial>(0, count));
  const auto have_second = on_host<SecondStagePartial>(second());
  const std::size_t bytes = columns * dtype_bytes(pool_->dtype());
  std::vector<float> row(columns);
  int errors = 0;
  for (std::size_t i = 0; i < count; ++i) {
    TokenStats a = finish(have[i], false), b = want_tokens[i];
    finish_extended(have_extended[i], a);
    finish_extended(want_extended[i], b);
    bool good = close(a.kl_reverse, b.kl_reverse, 4e-6) && close(a.kl_forward, b.kl_forward, 4e-6) &&
                close(a.chi_square, b.chi_square, 4e-6, 6e-7) &&
                close(have_second[i].jensen_shannon, want_second[i].jensen_shannon, 4e-6, 6e-7);
    const auto raw = on_host<std::byte>(gradient_.at<std::byte>(i * bytes, bytes));
    cpu::decode(raw.data(), pool_->dtype(), static_cast<std::int64_t>(columns), row.data());
    double largest = 0.0, difference = 0.0;
    for (std::size_t v = 0; v < columns; ++v) {
      const double g = static_cast<double>(want_gradient[i * columns + v]);
      largest = std::max(largest, std::fabs(g));
      difference = std::max(difference, std::fabs(static_cast<double>(row[v]) - g));
    }
    const double rounding = pool_->dtype() == DType::f32 ? 0.0 : 0x1p-8;  // half a unit of bf16, at the least number of its binade
    good = good && difference <= (4e-6 + rounding) * largest;
    errors += good ? 0 : 1;
  }
  return errors;
}

}  // namespace

GpuKernelTimes time_gpu_kernels(GpuPool& pool, std::int64_t rows, int rounds) {
  KernelCalls calls(pool, rows);
  const OwnedStream stream;
  for (std::size_t piece = 0; piece < kGpuPieces.size(); ++piece) {
    calls.call(piece, stream.ref());
    cuda::check(cudaStreamSynchronize(cuda::native(stream.ref())), "cudaStreamSynchronize");
    if (piece == 1) calls.finish_rows();
  }
  GpuKernelTimes times{.rows = rows, .seconds = {}, .errors = calls.count_errors()};
  std::array<std::vector<double>, kGpuPieces.size()> seconds;
  Event start, stop;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t piece = 0; piece < kGpuPieces.size(); ++piece) {
      start.record(stream.ref());
      calls.call(piece, stream.ref());
      stop.record(stream.ref());
      seconds[piece].push_back(stop.seconds_since(start));
    }
  }
  for (std::size_t piece = 0; piece < kGpuPieces.size(); ++piece) times.seconds[piece] = spread(seconds[piece]);
  return times;
}

}  // namespace klmesh::bench
