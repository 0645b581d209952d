// Sums over the tokens of a step, and their statistics.
#include <array>

#include "capi/agreed.hpp"
#include "capi/convert.hpp"
#include "capi/handles.hpp"
#include "capi/tokens.hpp"
#include "capi/versioned.hpp"

namespace klmesh::capi {
namespace {

/// By KLMESH_KL_REVERSE ...: those numbers are fixed, whatever becomes of the enumeration.
constexpr std::array<Quantity, KLMESH_QUANTITIES> kQuantityOfId{Quantity::kl_reverse,
                                                                Quantity::kl_forward,
                                                                Quantity::entropy_policy,
                                                                Quantity::entropy_reference,
                                                                Quantity::cross_entropy_policy_reference,
                                                                Quantity::cross_entropy_reference_policy,
                                                                Quantity::logp_policy,
                                                                Quantity::logp_reference,
                                                                Quantity::k1,
                                                                Quantity::k2,
                                                                Quantity::k3,
                                                                Quantity::k1_bias,
                                                                Quantity::k2_bias,
                                                                Quantity::k3_bias,
                                                                Quantity::delta_p,
                                                                Quantity::ratio_excess,
                                                                Quantity::chi_square,
                                                                Quantity::chi_square_reference_policy,
                                                                Quantity::hellinger,
                                                                Quantity::jensen_shannon,
                                                                Quantity::total_variation,
                                                                Quantity::same_top,
                                                                Quantity::renyi};

klmesh_quantity_statistics to_c(const QuantityStatistics& q) {
  return {q.count,
          q.infinite,
          q.negative,
          q.sum,
          q.mean,
          q.min,
          q.max,
          q.mean_square,
          q.variance,
          q.standard_deviation,
          q.standard_error,
          q.standard_error_clustered,
          q.sequence_mean,
          q.sequence_sum,
          {}};
}

klmesh_step_statistics to_c(const StepStatistics& step) {
  klmesh_step_statistics c{0, step.tokens, step.masked_tokens, step.invalid_rows, step.sequences, {}};
  for (std::size_t id = 0; id < kQuantityOfId.size(); ++id) c.quantities[id] = to_c(step[kQuantityOfId[id]]);
  return c;
}

}  // namespace
}  // namespace klmesh::capi

using namespace klmesh;
using capi::guard;
using capi::require;

extern "C" {

const char* klmesh_quantity_name(int32_t quantity) {
  if (quantity < 0 || quantity >= KLMESH_QUANTITIES) return nullptr;
  return name(capi::kQuantityOfId[static_cast<std::size_t>(quantity)]).data();  // of a literal: ends with a null
}

klmesh_status klmesh_sums_create(int64_t sequences, int32_t quantities, klmesh_sums** sums) {
  return guard([&] {
    klmesh_sums*& handle = require(sums, "sums");
    handle = new klmesh_sums{StepSums(sequences, capi::quantity_set(quantities))};
  });
}

void klmesh_sums_destroy(klmesh_sums* sums) { delete sums; }

klmesh_status klmesh_sums_accumulate(klmesh_engine* engine, const klmesh_token* tokens, size_t token_size,
                                     int64_t token_count, const klmesh_row_inputs* inputs, klmesh_sums* sums) {
  return guard([&] {
    klmesh_engine& e = require(engine, "engine");
    StepSums& into = require(sums, "sums").sums;
    capi::read_tokens(tokens, token_size, token_count, e.tokens);
    e.engine.accumulate(e.tokens, capi::row_inputs(inputs, token_count), into);
  });
}

klmesh_status klmesh_sums_merge(klmesh_sums* sums, const klmesh_sums* other) {
  return guard([&] { require(sums, "sums").sums.merge(require(other, "other").sums); });
}

klmesh_status klmesh_sums_reduce(klmesh_engine* engine, const klmesh_sums* sums, const klmesh_reduce_options* options,
                                 klmesh_step_statistics* statistics) {
  return guard([&] {
    klmesh_engine& e = require(engine, "engine");
    const bool skip_invalid = capi::converted(e.mesh->world(), "reduce", [&] {
      require(sums, "sums");
      capi::require_output(statistics, "statistics");
      const klmesh_reduce_options o = capi::read_or_default(options, "options");
      capi::require_zero(o.reserved, "options");
      return o.skip_invalid != 0;
    });
    capi::write(capi::to_c(e.engine.reduce(sums->sums, skip_invalid)), statistics, "statistics");
  });
}
}
