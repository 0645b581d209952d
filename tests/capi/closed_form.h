/* Rows whose every value is known in closed form: a uniform policy, and a reference that rises by `tilt` a token. */
#ifndef KLMESH_TESTS_CAPI_CLOSED_FORM_H_
#define KLMESH_TESTS_CAPI_CLOSED_FORM_H_

#include <stdint.h>

/* Fewer than 256 tokens and tilts that are powers of two: logits v * tilt are exact in bf16, and in every wider type.
 */
enum { VOCAB = 200 };

typedef struct closed_form {
  long double tilt;
  long double lse_reference; /* B */
  long double kl_reverse, kl_forward, entropy_policy, entropy_reference;
  long double chi_square, chi_square_reference_policy, hellinger;
  long double kl_mixture; /* KL[pi || (pi + ref) / 2] */
} closed_form;

closed_form closed_form_of(long double tilt);

/* D_alpha[pi || ref] */
long double closed_form_renyi(const closed_form* row, long double alpha);

/* log ref(y) */
long double closed_form_logp_reference(const closed_form* row, int64_t token);
/* log pi(y), the same for all */
long double closed_form_logp_policy(void);

/* Derivatives with respect to policy logit v. */
long double closed_form_d_kl_reverse(const closed_form* row, int64_t v);
long double closed_form_d_kl_forward(const closed_form* row, int64_t v);
long double closed_form_d_jensen_shannon(const closed_form* row, int64_t v);
long double closed_form_d_logp_policy(int64_t v, int64_t target);

#endif
