#include "batch.h"

#include <math.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static const klmesh_dtype dtypes[ELEMENTS] = {{KLMESH_DTYPE_FLOAT, 32, 1},
                                              {KLMESH_DTYPE_FLOAT, 64, 1},
                                              {KLMESH_DTYPE_FLOAT, 16, 1},
                                              {KLMESH_DTYPE_BFLOAT, 16, 0}};

closed_form row_values(int64_t row) { return closed_form_of(ldexpl(1.0L, -3 - (int)(row % 7))); }
int64_t row_target(int64_t row) { return (row * 37 + 11) % VOCAB; }
int64_t row_sequence(int64_t row) { return row * 2 % SEQUENCES; }

/* Truncation is exact for the numbers of this test, all of which bf16 and f16 hold; NaN stays NaN. */
static uint16_t f16_bits(double value) {
  int exponent;
  if (isnan(value)) return 0x7e00;
  if (value == 0) return 0;
  const double mantissa = frexp(fabs(value), &exponent); /* [0.5, 1) */
  const unsigned sign = value < 0 ? 0x8000u : 0;
  return (uint16_t)(sign | (unsigned)(exponent + 14) << 10 | ((unsigned)(mantissa * 2048) & 0x3ffu));
}

void set_logit(void* data, element type, int64_t index, double value) {
  const float narrow = (float)value;
  uint32_t bits;
  memcpy(&bits, &narrow, sizeof bits);
  if (type == F64) ((double*)data)[index] = value;
  if (type == F32) ((float*)data)[index] = narrow;
  if (type == F16) ((uint16_t*)data)[index] = f16_bits(value);
  if (type == BF16) ((uint16_t*)data)[index] = (uint16_t)(bits >> 16);
}

static void* allocate(size_t bytes) {
  void* memory = calloc(bytes + 1, 1);
  if (memory == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
  return memory;
}

static void fill(batch* b, element type) {
  const int64_t stride = b->columns + 3;
  for (int64_t row = 0; row < b->rows; ++row) {
    const long double tilt = row_values(b->first_row + row).tilt;
    for (int64_t column = 0; column < stride; ++column) {
      const int padding = column >= b->columns;
      const double logit = (double)(tilt * (b->shard.begin + column));
      set_logit(b->policy_data, type, row * stride + column, padding ? NAN : 0.5);
      set_logit(b->reference_data, type, row * stride + column, padding ? NAN : logit);
    }
    b->targets[row] = row_target(b->first_row + row);
    b->sequence[row] = row_sequence(b->first_row + row);
    b->mask[row] = b->first_row + row != MASKED_ROW;
  }
}

batch batch_on(klmesh_mesh* mesh, element type) {
  batch b = {.mesh = mesh, .shape = {.struct_size = sizeof b.shape}, .shard = {.struct_size = sizeof b.shard}};
  CHECK_OK(klmesh_mesh_get_shape(b.mesh, &b.shape));
  CHECK_OK(klmesh_engine_create(b.mesh, VOCAB, &b.engine));
  CHECK_OK(klmesh_engine_shard(b.engine, &b.shard));
  const int64_t each = (ROWS + b.shape.batch - 1) / b.shape.batch;
  const int64_t end = each * (b.shape.batch_part + 1);
  b.first_row = each * b.shape.batch_part;
  b.rows = (end < ROWS ? end : ROWS) - b.first_row;
  b.columns = b.shard.end - b.shard.begin;

  const int64_t stride = b.columns + 3;
  b.policy_data = allocate((size_t)(b.rows * stride) * 8);
  b.reference_data = allocate((size_t)(b.rows * stride) * 8);
  b.targets = allocate((size_t)b.rows * sizeof(int64_t));
  b.sequence = allocate((size_t)b.rows * sizeof(int64_t));
  b.mask = allocate((size_t)b.rows);
  b.tokens = allocate((size_t)b.rows * sizeof(klmesh_token));
  b.policy = (klmesh_logits){.struct_size = sizeof b.policy,
                             .data = b.policy_data,
                             .shape = {b.rows, stride},
                             .strides = {stride, 1},
                             .dtype = dtypes[type]};
  b.reference = b.policy;
  b.reference.data = b.reference_data;
  b.inputs = (klmesh_row_inputs){sizeof b.inputs, b.rows, b.targets, b.mask, b.sequence};
  fill(&b, type);
  return b;
}

batch batch_create(int batch_parts, int vocab_parts, element type) {
  const MPI_Comm world = MPI_COMM_WORLD;
  const klmesh_mesh_options options = {.struct_size = sizeof options, .batch = batch_parts, .vocab = vocab_parts};
  klmesh_mesh* mesh = NULL;
  CHECK_OK(klmesh_mesh_create(&world, &options, &mesh));
  return batch_on(mesh, type);
}

void batch_destroy(batch* b) {
  klmesh_mesh_destroy(b->mesh); /* the engine keeps what it needs of it */
  klmesh_engine_destroy(b->engine);
  free(b->policy_data);
  free(b->reference_data);
  free(b->targets);
  free(b->sequence);
  free(b->mask);
  free(b->tokens);
}

klmesh_status batch_evaluate(batch* b, const klmesh_evaluate_options* options) {
  return klmesh_evaluate(b->engine, &b->policy, &b->reference, &b->inputs, options, b->tokens, sizeof *b->tokens,
                         b->rows, NULL);
}
