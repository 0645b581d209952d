// Values for tests of layers.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

namespace klmesh::loop {

inline std::vector<float> normals(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace klmesh::loop
