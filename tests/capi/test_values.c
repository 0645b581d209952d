/* Values of tokens, and what needs no mesh. */
#include <math.h>
#include <string.h>
#include <threads.h>

#include "batch.h"
#include "check.h"
#include "test_capi.h"

/* In f64 the library is good to about 1e-14, in the narrower types to f32's rounding of the terms. */
static double tolerance_of(element type) { return type == F64 ? 1e-12 : 1e-6; }

static void check_core(const klmesh_token* token, const closed_form* row, int64_t target, double tolerance) {
  const long double logp = closed_form_logp_policy();
  const long double logq = closed_form_logp_reference(row, target);
  CHECK_NEAR(token->kl_reverse, row->kl_reverse, tolerance);
  CHECK_NEAR(token->kl_forward, row->kl_forward, tolerance);
  CHECK_NEAR(token->entropy_policy, row->entropy_policy, tolerance);
  CHECK_NEAR(token->entropy_reference, row->entropy_reference, tolerance);
  CHECK_NEAR(token->cross_entropy_policy_reference, row->entropy_policy + row->kl_reverse, tolerance);
  CHECK_NEAR(token->cross_entropy_reference_policy, row->entropy_reference + row->kl_forward, tolerance);
  CHECK_NEAR(token->logp_policy, logp, tolerance);
  CHECK_NEAR(token->logp_reference, logq, tolerance);
  CHECK_NEAR(token->k1, logp - logq, tolerance);
  CHECK_NEAR(token->k2, (logp - logq) * (logp - logq) / 2, tolerance);
  CHECK_NEAR(token->k3, expm1l(logq - logp) - (logq - logp), tolerance);
  CHECK_NEAR(token->lse_reference, row->lse_reference, tolerance);
  CHECK_NEAR(token->lse_policy, 0.5L - logp, tolerance); /* the policy logits are 0.5 */
  CHECK(token->flags == (KLMESH_POLICY_HAS_MASS | KLMESH_REFERENCE_HAS_MASS | KLMESH_HAS_TARGET));
  CHECK(token->invalid_column == INT32_MAX);
}

#define RENYI_ALPHA 1.5

static void check_extended(const klmesh_token* token, const closed_form* row, double tolerance) {
  long double distance = 0;
  long double jensen_shannon = 0;
  for (int64_t v = 0; v < VOCAB; ++v) {
    const long double p = 1.0L / VOCAB;
    const long double q = expl(closed_form_logp_reference(row, v));
    const long double m = (p + q) / 2;
    distance += fabsl(p - q) / 2;
    jensen_shannon += (p * logl(p / m) + q * logl(q / m)) / 2;
  }
  CHECK_NEAR(token->chi_square, row->chi_square, tolerance);
  CHECK_NEAR(token->chi_square_reference_policy, row->chi_square_reference_policy, tolerance);
  CHECK_NEAR(token->hellinger, row->hellinger, tolerance);
  CHECK_NEAR(token->total_variation, distance, tolerance);
  CHECK_NEAR(token->jensen_shannon, jensen_shannon, tolerance);
  CHECK_NEAR(token->renyi, closed_form_renyi(row, RENYI_ALPHA), tolerance);
  CHECK(token->same_top == 0); /* a uniform policy's top is token 0, the reference's is the last */
}

static void check_tokens(const batch* b, element type, int all) {
  for (int64_t i = 0; i < b->rows; ++i) {
    const klmesh_token* token = &b->tokens[i];
    const int64_t row = b->first_row + i;
    const closed_form expected = row_values(row);
    if (row == MASKED_ROW) {
      CHECK(token->kl_reverse == 0 && token->flags == 0);
      continue;
    }
    check_core(token, &expected, row_target(row), tolerance_of(type));
    if (all) check_extended(token, &expected, 4 * tolerance_of(type));
    CHECK(all || (isnan(token->chi_square) && isnan(token->renyi)));
  }
}

/* The rows in memory backwards, and read backwards: the same values. Temperature 1/2 twice as well. */
static void check_row_index_and_scale(batch* b) {
  int64_t index[ROWS];
  const klmesh_logits policy = b->policy, reference = b->reference;
  const int64_t stride = b->policy.strides[0];
  double* data = b->reference_data;
  for (int64_t i = 0; i < b->rows; ++i) index[i] = b->rows - 1 - i;
  for (int64_t i = 0; i < b->rows; ++i) {
    const long double tilt = row_values(b->first_row + index[i]).tilt;
    for (int64_t v = 0; v < b->columns; ++v) data[i * stride + v] = (double)(tilt * (b->shard.begin + v)) / 2;
  }
  b->policy.row_index = b->reference.row_index = index;
  b->reference.scale = 2.0;
  CHECK_OK(batch_evaluate(b, NULL));
  check_tokens(b, F64, 0);
  b->policy = policy;
  b->reference = reference;
}

static void check_by_rows(batch* b) {
  const klmesh_evaluate_options by_rows = {.struct_size = sizeof by_rows, .schedule = KLMESH_BY_ROWS};
  klmesh_token gathered[ROWS];
  int64_t begin = -1, end = -1;
  memcpy(gathered, b->tokens, (size_t)b->rows * sizeof *gathered);
  CHECK_OK(klmesh_engine_owned_rows(b->engine, b->rows, &begin, &end));
  CHECK(0 <= begin && begin <= end && end <= b->rows);
  CHECK_OK(batch_evaluate(b, &by_rows));
  for (int64_t i = begin; i < end; ++i) CHECK(b->tokens[i].kl_reverse == gathered[i].kl_reverse);
  for (int64_t i = 0; i < b->rows; ++i) {
    const int other = i < begin || i >= end;
    CHECK(b->tokens[i].normalizer_kl_reverse == gathered[i].normalizer_kl_reverse);
    CHECK(!other || b->first_row + i == MASKED_ROW || isnan(b->tokens[i].kl_reverse));
  }
}

void test_values(int batch_parts, int vocab_parts) {
  for (element type = F32; type < ELEMENTS; ++type) {
    batch b = batch_create(batch_parts, vocab_parts, type);
    const klmesh_evaluate_options all = {.struct_size = sizeof all, .quantities = KLMESH_ALL, .renyi_alpha = RENYI_ALPHA};
    CHECK(b.shard.vocab_size == VOCAB && b.shard.parts == vocab_parts && b.shard.reproducible == 1);
    CHECK_OK(batch_evaluate(&b, &all));
    check_tokens(&b, type, 1);
    CHECK_OK(batch_evaluate(&b, NULL));
    check_tokens(&b, type, 0);
    check_by_rows(&b);
    if (type == F64) check_row_index_and_scale(&b);
    batch_destroy(&b);
  }
}

static int last_error_of_a_new_thread(void* text) {
  *(int*)text = (int)strlen(klmesh_last_error());
  klmesh_sums_create(-1, KLMESH_CORE, NULL);
  return 0;
}

static void check_last_error(void) {
  thrd_t thread;
  int length = -1;
  char text[256];
  CHECK_FAILS(klmesh_sums_create(0, 7, &(klmesh_sums*){NULL}), KLMESH_INVALID_ARGUMENT, "quantities is 7");
  strncpy(text, klmesh_last_error(), sizeof text - 1)[sizeof text - 1] = '\0';
  CHECK(thrd_create(&thread, last_error_of_a_new_thread, &length) == thrd_success);
  CHECK(thrd_join(thread, NULL) == thrd_success);
  CHECK(length == 0);
  CHECK(strcmp(text, klmesh_last_error()) == 0); /* the other thread's failure is not ours */
  CHECK_OK(klmesh_estimators(NULL, NULL, 0, NULL, NULL, NULL));
  CHECK(strcmp(text, klmesh_last_error()) == 0); /* success leaves it alone */
}

void test_library(void) {
  const double policy[] = {-1.0, -2.0, -3.0}, reference[] = {-1.5, -2.0, -1.0};
  double k1[3], k2[3], k3[3];
  CHECK(klmesh_abi_version() == KLMESH_ABI_VERSION);
  CHECK(strchr(klmesh_version(), '.') != NULL);
  CHECK(strcmp(klmesh_status_name(KLMESH_DEADLINE_EXCEEDED), "deadline exceeded") == 0);
  CHECK(strcmp(klmesh_status_name(-1), "unknown status") == 0 && strcmp(klmesh_status_name(99), "unknown status") == 0);
  CHECK(strcmp(klmesh_quantity_name(KLMESH_KL_REVERSE), "kl_reverse") == 0);
  CHECK(strcmp(klmesh_quantity_name(KLMESH_K3), "k3") == 0);
  CHECK(strcmp(klmesh_quantity_name(KLMESH_CHI_SQUARE_REFERENCE_POLICY), "chi_square_reference_policy") == 0);
  CHECK(strcmp(klmesh_quantity_name(KLMESH_SAME_TOP), "same_top") == 0);
  CHECK(klmesh_quantity_name(-1) == NULL && klmesh_quantity_name(KLMESH_QUANTITIES) == NULL);
  CHECK_OK(klmesh_estimators(policy, reference, 3, k1, k2, k3));
  for (int i = 0; i < 3; ++i) {
    const long double log_ratio = reference[i] - policy[i];
    CHECK_NEAR(k1[i], -log_ratio, 1e-15);
    CHECK_NEAR(k2[i], log_ratio * log_ratio / 2, 1e-15);
    CHECK_NEAR(k3[i], expm1l(log_ratio) - log_ratio, 1e-14);
  }
  CHECK_FAILS(klmesh_estimators(policy, NULL, 3, k1, k2, k3), KLMESH_INVALID_ARGUMENT, "logp_reference is NULL");
  CHECK_FAILS(klmesh_estimators(policy, reference, -3, k1, k2, k3), KLMESH_INVALID_ARGUMENT, "count is -3");
  check_last_error();
}
