#include "write_floor.hpp"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "write_floor.cpp"
#include "hwy/foreach_target.h"  // compiles this file once per SIMD target
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace klmesh::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void read_both_write_one(const void* a, const void* b, std::int64_t bytes, void* out) {
  const hn::ScalableTag<std::uint8_t> d;
  const auto* x = static_cast<const std::uint8_t*>(a);
  const auto* y = static_cast<const std::uint8_t*>(b);
  auto* z = static_cast<std::uint8_t*>(out);
  const std::size_t lanes = hn::Lanes(d), count = static_cast<std::size_t>(bytes);
  std::size_t i = (64 - reinterpret_cast<std::uintptr_t>(z) % 64) % 64;  // whole cache lines only
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    hn::Stream(hn::Or(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, z + i);
    hn::Stream(hn::Or(hn::LoadU(d, x + i + lanes), hn::LoadU(d, y + i + lanes)), d, z + i + lanes);
  }
}

}  // namespace klmesh::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace klmesh::bench {

HWY_EXPORT(read_both_write_one);

void read_both_write_one(const void* a, const void* b, std::int64_t bytes, void* out) {
  HWY_DYNAMIC_DISPATCH(read_both_write_one)(a, b, bytes, out);
}

}  // namespace klmesh::bench
#endif
