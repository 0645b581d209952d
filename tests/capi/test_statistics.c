/* Statistics of a step that comes in two micro-batches, against sums in long double. */
#include <math.h>
#include <string.h>

#include "batch.h"
#include "check.h"
#include "test_capi.h"

enum { MICRO_BATCHES = 2 };

static long double value_of(int quantity, int64_t row) {
  const closed_form values = row_values(row);
  const long double log_ratio = closed_form_logp_reference(&values, row_target(row)) - closed_form_logp_policy();
  switch (quantity) {
    case KLMESH_KL_REVERSE:
      return values.kl_reverse;
    case KLMESH_KL_FORWARD:
      return values.kl_forward;
    case KLMESH_ENTROPY_REFERENCE:
      return values.entropy_reference;
    case KLMESH_LOGP_REFERENCE:
      return closed_form_logp_reference(&values, row_target(row));
    case KLMESH_K1:
      return -log_ratio;
    case KLMESH_K3:
      return expm1l(log_ratio) - log_ratio;
    case KLMESH_K1_BIAS:
      return -log_ratio - values.kl_reverse;
    case KLMESH_RATIO_EXCESS:
      return expm1l(log_ratio);
    case KLMESH_DELTA_P:
      return -expm1l(log_ratio) / VOCAB;
    case KLMESH_CHI_SQUARE:
      return values.chi_square;
    default:
      return values.hellinger;
  }
}

static void check_quantity(const klmesh_quantity_statistics* s, int quantity) {
  const long double n = ROWS - 1, copies = MICRO_BATCHES;
  long double sum = 0, squares = 0, min = INFINITY, max = -INFINITY, clusters = 0;
  long double of_sequence[SEQUENCES] = {0};
  int64_t negative = 0;
  for (int64_t row = 0; row < ROWS; ++row) {
    if (row == MASKED_ROW) continue;
    sum += value_of(quantity, row);
    min = fminl(min, value_of(quantity, row));
    max = fmaxl(max, value_of(quantity, row));
    negative += value_of(quantity, row) < 0;
  }
  const long double mean = sum / n, count = copies * n;
  for (int64_t row = 0; row < ROWS; ++row) {
    if (row == MASKED_ROW) continue;
    const long double deviation = value_of(quantity, row) - mean;
    squares += copies * deviation * deviation;
    of_sequence[row_sequence(row)] += copies * deviation;
  }
  for (int g = 0; g < SEQUENCES; ++g) clusters += of_sequence[g] * of_sequence[g];
  const long double variance = squares / (count - 1);

  CHECK(s->count == (int64_t)count && s->infinite == 0 && s->negative == copies * negative);
  CHECK_NEAR(s->sum, copies * sum, 1e-12);
  CHECK_NEAR(s->mean, mean, 1e-12);
  CHECK_NEAR(s->min, min, 1e-12);
  CHECK_NEAR(s->max, max, 1e-12);
  CHECK_NEAR(s->mean_square, squares / count + mean * mean, 1e-11);
  CHECK_NEAR(s->variance, variance, 1e-11);
  CHECK_NEAR(s->standard_deviation, sqrtl(variance), 1e-11);
  CHECK_NEAR(s->standard_error, sqrtl(variance / count), 1e-11);
  CHECK_NEAR(s->standard_error_clustered, sqrtl(clusters * SEQUENCES / (SEQUENCES - 1)) / count, 1e-11);
  long double mean_of_means = 0;
  for (int g = 0; g < SEQUENCES; ++g) {
    int64_t tokens = 0;
    for (int64_t row = 0; row < ROWS; ++row) tokens += row != MASKED_ROW && row_sequence(row) == g;
    mean_of_means += (of_sequence[g] / (copies * tokens) + mean) / SEQUENCES;
  }
  CHECK_NEAR(s->sequence_mean, mean_of_means, 1e-12);
  CHECK_NEAR(s->sequence_sum, copies * sum / SEQUENCES, 1e-12);
  CHECK(s->reserved[0] == 0 && s->reserved[1] == 0);
}

void test_statistics(int batch_parts, int vocab_parts) {
  static const int quantities[] = {KLMESH_KL_REVERSE,     KLMESH_KL_FORWARD,   KLMESH_ENTROPY_REFERENCE,
                                   KLMESH_LOGP_REFERENCE, KLMESH_K1,           KLMESH_K3,
                                   KLMESH_K1_BIAS,        KLMESH_RATIO_EXCESS, KLMESH_DELTA_P,
                                   KLMESH_CHI_SQUARE,     KLMESH_HELLINGER};
  batch b = batch_create(batch_parts, vocab_parts, F64);
  const klmesh_evaluate_options all = {.struct_size = sizeof all, .quantities = KLMESH_ALL};
  klmesh_sums *step = NULL, *micro = NULL, *core = NULL;
  klmesh_step_statistics statistics = {.struct_size = sizeof statistics};

  CHECK_OK(batch_evaluate(&b, &all));
  CHECK_OK(klmesh_sums_create(SEQUENCES, KLMESH_ALL, &step));
  CHECK_OK(klmesh_sums_create(SEQUENCES, KLMESH_ALL, &micro));
  CHECK_OK(klmesh_sums_create(SEQUENCES, KLMESH_CORE, &core));
  CHECK_OK(klmesh_sums_accumulate(b.engine, b.tokens, sizeof *b.tokens, b.rows, &b.inputs, step));
  CHECK_OK(klmesh_sums_accumulate(b.engine, b.tokens, sizeof *b.tokens, b.rows, &b.inputs, micro));
  CHECK_OK(klmesh_sums_accumulate(b.engine, b.tokens, sizeof *b.tokens, b.rows, &b.inputs, core));
  CHECK_OK(klmesh_sums_merge(step, micro));
  CHECK_FAILS(klmesh_sums_merge(step, core), KLMESH_INVALID_ARGUMENT, "different quantities");
  CHECK_OK(klmesh_sums_reduce(b.engine, step, NULL, &statistics));
  CHECK(statistics.struct_size == sizeof statistics);
  CHECK(statistics.tokens == MICRO_BATCHES * (ROWS - 1) && statistics.masked_tokens == MICRO_BATCHES);
  CHECK(statistics.invalid_rows == 0 && statistics.sequences == SEQUENCES);
  for (size_t i = 0; i < sizeof quantities / sizeof *quantities; ++i) {
    check_quantity(&statistics.quantities[quantities[i]], quantities[i]);
  }
  CHECK(statistics.quantities[KLMESH_SAME_TOP].mean == 0 && statistics.quantities[KLMESH_SAME_TOP].count > 0);

  CHECK_OK(klmesh_sums_reduce(b.engine, core, NULL, &statistics));
  CHECK(statistics.quantities[KLMESH_K2].count == ROWS - 1 && statistics.quantities[KLMESH_CHI_SQUARE].count == 0);
  CHECK(isnan(statistics.quantities[KLMESH_CHI_SQUARE].mean));

  klmesh_sums_destroy(step);
  klmesh_sums_destroy(micro);
  klmesh_sums_destroy(core);
  batch_destroy(&b);
}
