// The algebra alone, in one process: estimators from log-probabilities, and exact sums of them.
#include <klmesh/estimators.hpp>
#include <klmesh/statistics.hpp>

#include <cstdio>

int main() {
  klmesh::StepSums sums;
  for (const double log_ratio : {-0.5, 0.0, 0.5}) {
    const klmesh::Estimators e = klmesh::estimators(log_ratio);
    klmesh::TokenStats token;
    token.flags = klmesh::kHasTarget;  // else the estimators of this token do not count
    token.k1 = e.k1;
    token.k2 = e.k2;
    sums.add(token, -1);
  }
  const klmesh::StepStatistics step = sums.statistics();
  const double k1 = step[klmesh::Quantity::k1].sum;
  const double k2 = step[klmesh::Quantity::k2].sum;
  std::printf("k1 %g, k2 %g\n", k1, k2);
  return k1 == 0.0 && k2 == 0.25 ? 0 : 1;
}
