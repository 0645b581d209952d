// The operations of both back ends on the same mesh, fed with the same values.
#pragma once

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "comm/nccl/gpu_world.hpp"
#include "klmesh/nccl.hpp"
#include "loop/buffer.hpp"
#include "loop/cuda/cuda_ops.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/normals.hpp"

namespace klmesh::loop {

/// One mesh, with its host's operations and its GPUs'.
struct BothOps {
  Mesh mesh;
  HostOps host;
  cuda::CudaOps device;

  explicit BothOps(MeshShape shape)
      : mesh(make_mesh(shape)), host(mesh), device(mesh, make_nccl_mesh(mesh, testing_support::own_device())) {}
};

/// Values on a back end.
template <class T>
Buffer<T> put(TensorOps& ops, const std::vector<T>& values) {
  return Buffer<T>(ops, "test", std::span<const T>(values), CopyReason::start);
}

template <class T>
std::vector<T> get(const Buffer<T>& buffer) {
  return buffer.download(CopyReason::samples);
}

inline std::vector<float> normals(std::int64_t count, unsigned seed) {
  return normals(static_cast<std::size_t>(count), seed);
}

/// Element i of both differs by no more than `tolerance` times the larger of `scale` and its magnitude.
inline void expect_near(std::span<const float> got, std::span<const float> want, double tolerance, double scale,
                        const char* what) {
  EXPECT_EQ(got.size(), want.size()) << what;
  double worst = 0;
  for (std::size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
    const double error = std::fabs(double{got[i]} - double{want[i]}) / std::max(scale, std::fabs(double{want[i]}));
    worst = std::isnan(error) ? HUGE_VAL : std::max(worst, error);
  }
  EXPECT_LE(worst, tolerance) << what;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// A gradient tensor of a back end: words, then the bound.
class GradientTensor {
 public:
  /// @param word all words, and the bound, at first
  explicit GradientTensor(TensorOps& ops, std::int64_t size, std::int64_t word = 0)
      : words_(put(ops, std::vector<std::int64_t>(static_cast<std::size_t>(size + 1), word))) {}

  FixedPointTensor view() { return {words_.span().data(), words_.size() - 1, &words_.span().back()}; }
  std::vector<float> values() const {
    const std::vector<std::int64_t> words = get(words_);
    std::vector<float> values;
    for (std::size_t i = 0; i + 1 < words.size(); ++i) values.push_back(fixed_point_value(words[i]));
    return values;
  }
  bool valid() const { return is_valid_bound(get(words_).back()); }

 private:
  Buffer<std::int64_t> words_;
};

}  // namespace klmesh::loop
