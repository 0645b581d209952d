// One element's step of AdamW. Host and device: equal inputs give equal bits.
#pragma once

#include <cmath>
#include <cstdint>

#include "klmesh/host_device.hpp"
#include "loop/fixed_point.hpp"

namespace klmesh::loop {

/// What all elements of a step share.
struct AdamCoefficients {
  float mix1 = 0, mix2 = 0;                ///< 1 - beta
  float correction2 = 0;                   ///< 1 / (1 - beta2^step)
  float epsilon = 0, rate = 0, decay = 0;  ///< rate includes the correction of the first moment
};

/// @param gradient a word of fixed_point.hpp
/// Source: Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101.
KLMESH_HD inline void adam_update(float& parameter, std::int64_t gradient, float& first, float& second,
                                  const AdamCoefficients& k) {
  const float g = fixed_point_value(gradient);
  const float m = first + k.mix1 * (g - first);
  const float v = second + k.mix2 * (g * g - second);
  first = m;
  second = v;
  const float p = parameter;
  parameter = (p - k.decay * p) - k.rate * m / (std::sqrt(v * k.correction2) + k.epsilon);
}

}  // namespace klmesh::loop
