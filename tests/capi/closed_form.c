#include "closed_form.h"

#include <math.h>

/* ln sum over v < VOCAB of e^(t v): a geometric series. */
static long double log_geometric(long double t) { return t == 0 ? logl(VOCAB) : logl(expm1l(t * VOCAB) / expm1l(t)); }

/* Its derivative in t: the mean of v under weights e^(t v). */
static long double mean_token(long double t) { return VOCAB / -expm1l(-t * VOCAB) - 1 / -expm1l(-t); }

/* log(pi / m) at token v, with m = (pi + ref) / 2 */
static long double log_over_mixture(const closed_form* row, int64_t v) {
  return -logl((1 + expl(closed_form_logp_reference(row, v) - closed_form_logp_policy())) / 2);
}

closed_form closed_form_of(long double tilt) {
  const long double log_v = logl(VOCAB);
  const long double mean = mean_token(tilt);
  closed_form row = {.tilt = tilt, .lse_reference = log_geometric(tilt), .entropy_policy = log_v};
  row.kl_reverse = -log_v - tilt * (VOCAB - 1) / 2 + row.lse_reference;
  row.kl_forward = tilt * mean - row.lse_reference + log_v;
  row.entropy_reference = row.lse_reference - tilt * mean;
  row.chi_square = expl(log_geometric(-tilt) + row.lse_reference - 2 * log_v) - 1;
  row.chi_square_reference_policy = expl(log_geometric(2 * tilt) - 2 * row.lse_reference + log_v) - 1;
  row.hellinger = 1 - expl(log_geometric(tilt / 2) - row.lse_reference / 2 - log_v / 2);
  for (int64_t v = 0; v < VOCAB; ++v) row.kl_mixture += log_over_mixture(&row, v) / VOCAB;
  return row;
}

long double closed_form_renyi(const closed_form* row, long double alpha) {
  const long double log_sum = log_geometric((1 - alpha) * row->tilt) - (1 - alpha) * row->lse_reference;
  return (log_sum - alpha * logl(VOCAB)) / (alpha - 1);
}

long double closed_form_logp_reference(const closed_form* row, int64_t token) {
  return row->tilt * token - row->lse_reference;
}

long double closed_form_logp_policy(void) { return -logl(VOCAB); }

long double closed_form_d_kl_reverse(const closed_form* row, int64_t v) {
  return (closed_form_logp_policy() - closed_form_logp_reference(row, v) - row->kl_reverse) / VOCAB;
}

long double closed_form_d_kl_forward(const closed_form* row, int64_t v) {
  return 1.0L / VOCAB - expl(closed_form_logp_reference(row, v));
}

long double closed_form_d_jensen_shannon(const closed_form* row, int64_t v) {
  return (log_over_mixture(row, v) - row->kl_mixture) / 2 / VOCAB;
}

long double closed_form_d_logp_policy(int64_t v, int64_t target) { return (v == target ? 1.0L : 0.0L) - 1.0L / VOCAB; }
