/* Gradients of each quantity, alone and together, on the shard of each rank. */
#include <math.h>
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "test_capi.h"

/* Weights of the five quantities in row `i`. */
typedef struct weights {
  double kl_reverse[ROWS], kl_forward[ROWS], logp_policy[ROWS], entropy_policy[ROWS],
      jensen_shannon[ROWS];
} weights;

static long double expected_gradient(const weights* w, int64_t i, int64_t row, const closed_form* values, int64_t v) {
  if (row == MASKED_ROW) return 0;
  /* A uniform distribution has the largest entropy: its gradient is zero. */
  return w->kl_reverse[i] * closed_form_d_kl_reverse(values, v) +
         w->kl_forward[i] * closed_form_d_kl_forward(values, v) +
         w->logp_policy[i] * closed_form_d_logp_policy(v, row_target(row)) +
         w->jensen_shannon[i] * closed_form_d_jensen_shannon(values, v);
}

static void check_gradient(const batch* b, const weights* w, const float* gradient, double offset) {
  for (int64_t i = 0; i < b->rows; ++i) {
    const int64_t row = b->first_row + i;
    const closed_form values = row_values(row);
    long double largest = 1e-3L;
    for (int64_t v = 0; v < VOCAB; ++v) largest = fmaxl(largest, fabsl(expected_gradient(w, i, row, &values, v)));
    for (int64_t column = 0; column < b->columns; ++column) {
      const long double expected = expected_gradient(w, i, row, &values, b->shard.begin + column);
      check_near(gradient[i * b->columns + column], expected + offset, 2e-6, (double)(largest + fabs(offset)),
                 "gradient", __FILE__, __LINE__);
    }
  }
}

static klmesh_status gradient_of(batch* b, const weights* w, klmesh_gradient_output* output) {
  const klmesh_row_scales scales = {sizeof scales,  b->rows,           w->kl_reverse,    w->kl_forward,
                                    w->logp_policy, w->entropy_policy, w->jensen_shannon};
  return klmesh_gradient(b->engine, &b->policy, &b->reference, &b->inputs, b->tokens, sizeof *b->tokens, b->rows,
                         &scales, output, NULL);
}

static klmesh_gradient_output dense(const batch* b, float* data) {
  return (klmesh_gradient_output){.struct_size = sizeof(klmesh_gradient_output),
                                  .data = data,
                                  .shape = {b->rows, b->columns},
                                  .strides = {b->columns, 1},
                                  .dtype = {KLMESH_DTYPE_FLOAT, 32, 1}};
}

/* In place of f32 policy logits: the padding columns are not touched. */
static void check_in_place(batch* b, const weights* w, float* gradient) {
  const int64_t stride = b->policy.strides[0];
  klmesh_gradient_output output = {.struct_size = sizeof output,
                                   .data = b->policy_data,
                                   .shape = {b->rows, b->columns},
                                   .strides = {stride, 1},
                                   .dtype = b->policy.dtype};
  CHECK_OK(gradient_of(b, w, &output));
  for (int64_t i = 0; i < b->rows; ++i) {
    for (int64_t column = 0; column < stride; ++column) {
      const float value = ((float*)b->policy_data)[i * stride + column];
      if (column < b->columns) gradient[i * b->columns + column] = value;
      CHECK(column < b->columns || isnan(value));
    }
  }
  check_gradient(b, w, gradient, 0);
}

void test_gradient(int batch_parts, int vocab_parts) {
  for (element type = F32; type <= F64; ++type) {
    batch b = batch_create(batch_parts, vocab_parts, type);
    float* gradient = calloc((size_t)(b.rows * b.columns) + 1, sizeof *gradient);
    klmesh_gradient_output output = dense(&b, gradient);
    CHECK(gradient != NULL);
    const klmesh_evaluate_options all = {
        .struct_size = sizeof all, .quantities = KLMESH_ALL, .schedule = type == F32 ? KLMESH_BY_ROWS : KLMESH_GATHER};
    CHECK_OK(batch_evaluate(&b, &all));
    for (int kind = 0; kind < 6; ++kind) { /* each alone, then all */
      weights w = {.kl_reverse = {0}};
      for (int64_t i = 0; i < b.rows; ++i) {
        if (kind == 0 || kind == 5) w.kl_reverse[i] = 0.5 + (double)i;
        if (kind == 1 || kind == 5) w.kl_forward[i] = -0.25 * (double)i;
        if (kind == 2 || kind == 5) w.logp_policy[i] = 1.0 / (double)(i + 1);
        if (kind == 3 || kind == 5) w.entropy_policy[i] = 2.0;
        if (kind == 4 || kind == 5) w.jensen_shannon[i] = 1.5;
      }
      output.accumulate = 0;
      CHECK_OK(gradient_of(&b, &w, &output));
      check_gradient(&b, &w, gradient, 0);
      for (int64_t i = 0; i < b.rows * b.columns; ++i) gradient[i] = 3.0f;
      output.accumulate = 1;
      CHECK_OK(gradient_of(&b, &w, &output));
      check_gradient(&b, &w, gradient, 3.0);
      if (kind == 5 && type == F32) check_in_place(&b, &w, gradient);
    }
    free(gradient);
    batch_destroy(&b);
  }
}
