/* A step of ROWS rows in closed form, and the part of it that one rank holds. */
#ifndef KLMESH_TESTS_CAPI_BATCH_H_
#define KLMESH_TESTS_CAPI_BATCH_H_

#include "closed_form.h"
#include "klmesh/klmesh.h"

/* Not divisible by 2 or 4 batch parts after the mask; SEQUENCES cross the parts. */
enum { ROWS = 10, SEQUENCES = 3, MASKED_ROW = 4 };

/* Row of the step -> its values. */
closed_form row_values(int64_t row);
int64_t row_target(int64_t row);
int64_t row_sequence(int64_t row);

typedef enum element { F32, F64, F16, BF16, ELEMENTS } element;

typedef struct batch {
  klmesh_mesh* mesh;
  klmesh_engine* engine;
  klmesh_mesh_shape shape;
  klmesh_shard shard;
  int64_t first_row, rows, columns; /* of this rank */
  void* policy_data;                /* (rows, columns + 3): the padding holds NaN */
  void* reference_data;
  int64_t* targets;
  int64_t* sequence;
  uint8_t* mask;
  klmesh_token* tokens; /* (rows) */
  klmesh_logits policy, reference;
  klmesh_row_inputs inputs;
} batch;

/* The batch of a rank on a BxV mesh over MPI_COMM_WORLD. Collective. */
batch batch_create(int batch_parts, int vocab_parts, element type);
/* The batch of a rank on a mesh that it then owns. */
batch batch_on(klmesh_mesh* mesh, element type);
void batch_destroy(batch* b);

/* klmesh_evaluate() of the batch. */
klmesh_status batch_evaluate(batch* b, const klmesh_evaluate_options* options);

/* Overwrites one logit, `column` being an index of this rank. */
void set_logit(void* data, element type, int64_t index, double value);

#endif
