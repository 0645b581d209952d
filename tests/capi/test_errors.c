/* Something is wrong on the last rank alone: every rank of the group gets the error, with the same text. */
#include <math.h>
#include <mpi.h>
#include <string.h>

#include "batch.h"
#include "check.h"
#include "test_capi.h"

static int is_last_rank(void) {
  int rank = 0, ranks = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  return rank == ranks - 1;
}

/* The last rank's vocabulary group is the one with the last batch part; others must succeed. */
static int in_last_group(const batch* b) { return b->shape.batch_part == b->shape.batch - 1; }

static void check_group(const batch* b, klmesh_status status, klmesh_status expected, const char* part) {
  char text[512] = {0}, first[512];
  check_status(status, in_last_group(b) ? expected : KLMESH_OK, part, part, __FILE__, __LINE__);
  strncpy(text, klmesh_last_error(), sizeof text - 1);
  memcpy(first, text, sizeof first);
  MPI_Comm row = MPI_COMM_NULL;
  CHECK(MPI_Comm_split(MPI_COMM_WORLD, b->shape.batch_part, 0, &row) == MPI_SUCCESS);
  CHECK(MPI_Bcast(first, sizeof first, MPI_CHAR, 0, row) == MPI_SUCCESS);
  CHECK(MPI_Comm_free(&row) == MPI_SUCCESS);
  CHECK(strcmp(text, first) == 0 || !in_last_group(b));
}

/* What C leaves open, and what the engine finds: each breaks the arguments of the last rank. */
static void break_size(batch* b) { b->policy.struct_size = 8; }
static void break_type(batch* b) { b->reference.dtype.bits = 8; }
static void break_lanes(batch* b) { b->reference.dtype.lanes = 4; }
static void break_column_stride(batch* b) { b->policy.strides[1] = 2; }
static void break_rows(batch* b) { b->policy.shape[0] = -1; }
static void break_inputs(batch* b) { b->inputs.rows += 1; }
static void break_columns(batch* b) { b->policy.shape[1] = b->columns - 1; }
static void break_data(batch* b) { b->reference.data = NULL; }
static void break_scale(batch* b) { b->policy.scale = -1; }
static void break_reserved(batch* b) { b->policy.reserved = 1; }

static void test_arguments(batch* b) {
  static const struct {
    void (*break_it)(batch*);
    const char* part;
  } cases[] = {{break_size, "policy has 8 bytes"},
               {break_type, "reference: unknown element type (code 2, 8 bits"},
               {break_lanes, "4 lanes"},
               {break_column_stride, "policy: strides[1] is 2"},
               {break_rows, "policy has -1 rows"},
               {break_inputs, "inputs has "},
               {break_columns, "policy logits have "},
               {break_data, "reference logits: null data"},
               {break_scale, "scale is not finite and > 0"},
               {break_reserved, "reserved is 1"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    batch broken = *b;
    if (is_last_rank()) cases[i].break_it(&broken);
    check_group(b, batch_evaluate(&broken, NULL), KLMESH_INVALID_ARGUMENT, cases[i].part);
  }
  const klmesh_evaluate_options odd = {.struct_size = sizeof odd, .schedule = is_last_rank() ? 9 : 0};
  check_group(b, batch_evaluate(b, &odd), KLMESH_INVALID_ARGUMENT, "there is no schedule 9");
  const int64_t count = is_last_rank() ? b->rows + 1 : b->rows;
  check_group(b,
              klmesh_evaluate(b->engine, &b->policy, &b->reference, &b->inputs, NULL, is_last_rank() ? NULL : b->tokens,
                              sizeof *b->tokens, b->rows, NULL),
              KLMESH_INVALID_ARGUMENT, "tokens is NULL");
  check_group(b,
              klmesh_evaluate(b->engine, &b->policy, &b->reference, &b->inputs, NULL, b->tokens, sizeof *b->tokens,
                              count, NULL),
              KLMESH_INVALID_ARGUMENT, "entries for ");
  check_group(b,
              klmesh_evaluate(b->engine, &b->policy, &b->reference, &b->inputs, NULL, b->tokens,
                              is_last_rank() ? 16 : sizeof *b->tokens, b->rows, NULL),
              KLMESH_INVALID_ARGUMENT, "token_size) has 16 bytes");
}

static void test_gradient_arguments(batch* b) {
  klmesh_gradient_output output = {.struct_size = sizeof output, .data = b->policy_data};
  output.shape[0] = b->rows, output.shape[1] = b->columns, output.strides[0] = b->policy.strides[0];
  output.strides[1] = 1, output.dtype = b->policy.dtype;
  const klmesh_row_scales scales = {.struct_size = sizeof scales, .rows = b->rows};
  check_group(b,
              klmesh_gradient(b->engine, &b->policy, &b->reference, &b->inputs, b->tokens, sizeof *b->tokens, b->rows,
                              is_last_rank() ? NULL : &scales, &output, NULL),
              KLMESH_INVALID_ARGUMENT, "scales is NULL");
}

static void test_disagreement(batch* b) {
  if (b->shape.vocab == 1) return;
  batch other = *b;
  if (is_last_rank()) other.inputs.targets = NULL;
  check_group(b, batch_evaluate(&other, NULL), KLMESH_INVALID_DATA, "ranks disagree about targets");
}

/* Wrong data are found by the reduction, on every rank of the mesh. */
static void test_data(batch* b) {
  const klmesh_reduce_options skip = {.struct_size = sizeof skip, .skip_invalid = 1};
  klmesh_step_statistics statistics = {.struct_size = sizeof statistics};
  klmesh_sums* sums = NULL;
  if (is_last_rank()) set_logit(b->reference_data, F32, 1, NAN); /* row 0 of the part, second column of the shard */
  CHECK_OK(batch_evaluate(b, NULL));
  if (in_last_group(b)) CHECK(isnan(b->tokens[0].kl_reverse) && (b->tokens[0].flags & KLMESH_INVALID_REFERENCE) != 0);
  CHECK_OK(klmesh_sums_create(SEQUENCES, KLMESH_CORE, &sums));
  CHECK_FAILS(klmesh_sums_reduce(b->engine, sums, NULL, &statistics), KLMESH_INVALID_DATA, "no token is counted");
  CHECK_OK(klmesh_sums_accumulate(b->engine, b->tokens, sizeof *b->tokens, b->rows, &b->inputs, sums));
  CHECK_FAILS(klmesh_sums_reduce(b->engine, sums, NULL, &statistics), KLMESH_INVALID_DATA, "row 0");
  CHECK_OK(klmesh_sums_reduce(b->engine, sums, &skip, &statistics));
  CHECK(statistics.invalid_rows == 1 && statistics.tokens == ROWS - 2);
  CHECK_FAILS(klmesh_sums_reduce(b->engine, is_last_rank() ? NULL : sums, NULL, &statistics), KLMESH_INVALID_ARGUMENT,
              "sums is NULL");
  if (is_last_rank()) statistics.struct_size = 8;
  CHECK_FAILS(klmesh_sums_reduce(b->engine, sums, &skip, &statistics), KLMESH_INVALID_ARGUMENT,
              "statistics has 8 bytes");
  klmesh_sums_destroy(sums);
}

void test_errors(int batch_parts, int vocab_parts) {
  batch b = batch_create(batch_parts, vocab_parts, F32);
  test_arguments(&b);
  CHECK_OK(batch_evaluate(&b, NULL)); /* the mesh works on after every refusal */
  test_gradient_arguments(&b);
  test_disagreement(&b);
  test_data(&b);
  batch_destroy(&b);
}
