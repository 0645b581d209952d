// Monte-Carlo estimators from log-probabilities alone.
#include "klmesh/estimators.hpp"

#include "capi/status.hpp"

extern "C" klmesh_status klmesh_estimators(const double* logp_policy, const double* logp_reference, int64_t count,
                                           double* k1, double* k2, double* k3) {
  using namespace klmesh;
  return capi::guard([&] {
    if (count < 0) throw InvalidArgument("count is " + std::to_string(count));
    if (count > 0) {
      capi::require(logp_policy, "logp_policy");
      capi::require(logp_reference, "logp_reference");
    }
    for (int64_t i = 0; i < count; ++i) {
      const Estimators token = estimators(logp_reference[i] - logp_policy[i]);
      if (k1 != nullptr) k1[i] = token.k1;
      if (k2 != nullptr) k2[i] = token.k2;
      if (k3 != nullptr) k3[i] = token.k3;
    }
  });
}
