// The rows that have broken KL kernels before, and random ones.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace klmesh::test {

template <typename T>
struct RowPair {
  std::string name;
  std::vector<T> policy, reference;
};

template <typename T>
class RowFactory {
 public:
  RowFactory(std::size_t columns, unsigned seed) : columns_(columns), random_(seed) {}

  std::vector<T> normal(double scale) {
    std::normal_distribution<double> n;
    std::vector<T> x(columns_);
    for (T& v : x) v = static_cast<T>(scale * n(random_));
    return x;
  }

  /// policy ~ spread N(0,1), reference = policy + offset + noise N(0,1)
  RowPair<T> noisy(double noise, double spread = 3.0, double offset = 0.0) {
    RowPair<T> p{"noise " + std::to_string(noise) + " offset " + std::to_string(offset), normal(spread), {}};
    const std::vector<T> n = normal(1.0);
    for (std::size_t v = 0; v < columns_; ++v) {
      p.reference.push_back(static_cast<T>(static_cast<double>(p.policy[v]) + offset + noise * static_cast<double>(n[v])));
    }
    return p;
  }

  RowPair<T> top_moved(double by) {
    RowPair<T> p{"top token moved by " + std::to_string(by), normal(3.0), {}};
    p.policy[columns_ / 3] = 20;
    p.reference = p.policy;
    p.reference[columns_ / 3] = static_cast<T>(20 + by);
    return p;
  }

  /// Every kind that NUMERICS.md names.
  std::vector<RowPair<T>> adversarial() {
    std::vector<RowPair<T>> rows;
    for (const double noise : {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0}) rows.push_back(noisy(noise));
    for (const double by : {1e-4, 1e-3, 0.3, -20.0, -30.0, -40.0}) rows.push_back(top_moved(by));
    {
      RowPair<T> p{"flat, one moved by 1e-4", std::vector<T>(columns_, T(1)), std::vector<T>(columns_, T(1))};
      p.reference[columns_ / 2] += T(1e-4);
      rows.push_back(p);
    }
    {
      RowPair<T> p = noisy(1e-3);
      p.name = "light slice at d = 15";
      for (std::size_t v = columns_ / 2; v < columns_ / 2 + columns_ / 64 + 1; ++v) {
        p.policy[v] = static_cast<T>(p.policy[v] - 30);
        p.reference[v] = static_cast<T>(p.policy[v] + 15);
      }
      rows.push_back(p);
    }
    {
      RowPair<T> p = noisy(20.0, 30.0);
      p.policy[columns_ / 5] = 200;
      p.reference[columns_ / 5] = 180;
      p.name = "wide, with a dominating token";
      rows.push_back(p);
    }
    {
      RowPair<T> p = noisy(1.0, 1.0);
      p.name = "peaked, noisy tail";
      p.policy[columns_ / 4] = p.reference[columns_ / 4] = 40;
      rows.push_back(p);
    }
    for (const double distance : {120.0, 500.0}) {
      RowPair<T> p = noisy(0.5);
      p.name = "disjoint supports at " + std::to_string(distance);
      for (std::size_t v = 0; v < columns_; ++v) (v % 2 ? p.policy : p.reference)[v] -= static_cast<T>(distance);
      rows.push_back(p);
      p.name += ", half and half";
      p.reference = p.policy = normal(1.0);
      for (std::size_t v = 0; v < columns_; ++v) (v < columns_ / 2 ? p.policy : p.reference)[v] -= static_cast<T>(distance);
      rows.push_back(p);
    }
    for (const double noise : {1e-5, 1e-2}) rows.push_back(noisy(noise, 3.0, 160.0));
    rows.push_back(noisy(1e-6, 3.0, 0.3));  // an offset too small to see in M alone, too large to shift away later
    rows.push_back(noisy(1e-2, 3.0, -1000.0));
    {
      RowPair<T> p = noisy(1e-2);
      p.name = "finite masks: -1e9 and the lowest number";
      for (std::size_t v = 0; v < columns_; v += 3) {
        p.policy[v] = p.reference[v] = v % 2 ? T(-1e9) : static_cast<T>(std::numeric_limits<float>::lowest());
      }
      rows.push_back(p);
    }
    for (const double by : {-39.9, -38.0, -33.0, -20.0, -13.0, 13.0, 20.0, 33.0, 38.0, 39.9}) {
      RowPair<T> p = noisy(1e-2, 1.0);
      p.name = "one slice shifted by " + std::to_string(by);
      for (std::size_t v = columns_ / 2; v < columns_ / 2 + columns_ / 60 + 1 && v < columns_; ++v) {
        p.reference[v] += static_cast<T>(by);
      }
      rows.push_back(p);
    }
    for (const double mask : {-1e9, static_cast<double>(std::numeric_limits<float>::lowest())}) {
      for (const int side : {0, 1, 2}) {
        RowPair<T> p = noisy(1e-2, 1.0, side == 2 ? 0.0 : -37.0);
        p.name = "half the columns at " + std::to_string(mask) + (side == 0 ? " in the policy" : side == 1 ? " in the reference" : " in both");
        for (std::size_t v = columns_ / 2; v < columns_; ++v) {
          if (side != 1) p.policy[v] = static_cast<T>(mask);
          if (side != 0) p.reference[v] = static_cast<T>(mask);
        }
        rows.push_back(p);
      }
    }
    for (const bool everywhere : {false, true}) {  // every third column, or whole slices
      const auto hit = [&](std::size_t v) { return everywhere ? v % 3 == 0 : v > columns_ / 2 && v < 3 * columns_ / 4; };
      const T gone = -std::numeric_limits<T>::infinity();
      RowPair<T> both = noisy(1e-2), policy = noisy(1e-2), reference = noisy(1e-2), far = noisy(1e-2, 3.0, 1000.0);
      const std::string where = everywhere ? " every third column" : " in whole slices";
      both.name = "-inf in both," + where;
      policy.name = "-inf in the policy," + where;
      reference.name = "-inf in the reference," + where;
      far.name = "-inf in the policy at offset 1000," + where;
      for (std::size_t v = 0; v < columns_; ++v) {
        if (!hit(v)) continue;
        both.policy[v] = both.reference[v] = policy.policy[v] = reference.reference[v] = far.policy[v] = gone;
      }
      for (RowPair<T>* p : {&both, &policy, &reference, &far}) rows.push_back(*p);
    }
    return rows;
  }

 private:
  std::size_t columns_;
  std::mt19937_64 random_;
};

}  // namespace klmesh::test
