/* How meshes come to be, and null pointers everywhere. */
#include <mpi.h>
#include <stddef.h>

#include "batch.h"
#include "check.h"
#include "test_capi.h"

static void check_works(klmesh_mesh* mesh, int batch_parts, int vocab_parts) {
  batch b = batch_on(mesh, F64);
  CHECK(b.shape.batch == batch_parts && b.shape.vocab == vocab_parts);
  CHECK_OK(batch_evaluate(&b, NULL));
  if (b.first_row != MASKED_ROW) CHECK_NEAR(b.tokens[0].kl_reverse, row_values(b.first_row).kl_reverse, 1e-12);
  batch_destroy(&b);
}

static void test_groups(int rank, int vocab_parts, int batch_parts) {
  MPI_Comm vocab = MPI_COMM_NULL, batch_group = MPI_COMM_NULL;
  klmesh_mesh* mesh = NULL;
  CHECK(MPI_Comm_split(MPI_COMM_WORLD, rank / vocab_parts, rank, &vocab) == MPI_SUCCESS);
  CHECK(MPI_Comm_split(MPI_COMM_WORLD, rank % vocab_parts, rank, &batch_group) == MPI_SUCCESS);
  CHECK_OK(klmesh_mesh_create_from_groups(&vocab, &batch_group, NULL, &mesh));
  check_works(mesh, batch_parts, vocab_parts);
  const klmesh_mesh_options shaped = {.struct_size = sizeof shaped, .batch = rank == 0};
  CHECK_FAILS(klmesh_mesh_create_from_groups(&vocab, &batch_group, &shaped, &mesh), KLMESH_INVALID_ARGUMENT,
              "batch and vocab must be 0");
  const klmesh_mesh_options late = {.struct_size = sizeof late, .deadline_seconds = rank == 0 ? -1.0 : 60.0};
  CHECK_FAILS(klmesh_mesh_create(&(MPI_Comm){MPI_COMM_WORLD}, &late, &mesh), KLMESH_INVALID_ARGUMENT, "deadline");
  CHECK(MPI_Comm_free(&vocab) == MPI_SUCCESS);
  CHECK(MPI_Comm_free(&batch_group) == MPI_SUCCESS);
}

void test_meshes(int batch_parts, int vocab_parts) {
  const MPI_Comm world = MPI_COMM_WORLD;
  int rank = 0;
  klmesh_mesh* mesh = NULL;
  CHECK(MPI_Comm_rank(world, &rank) == MPI_SUCCESS);
  test_groups(rank, vocab_parts, batch_parts);

  CHECK_OK(klmesh_mesh_create_self(&mesh));
  check_works(mesh, 1, 1);

  klmesh_mesh_shape shape = {.struct_size = sizeof shape};
  CHECK_OK(klmesh_mesh_create(&world, NULL, &mesh)); /* a shape that fits the ranks */
  CHECK_OK(klmesh_mesh_get_shape(mesh, &shape));
  CHECK(shape.batch * shape.vocab == batch_parts * vocab_parts);
  CHECK(shape.batch_part * shape.vocab + shape.vocab_part == rank);
  klmesh_mesh_destroy(mesh);

  const klmesh_mesh_options large = {.struct_size = sizeof large, .batch = 3, .vocab = vocab_parts};
  CHECK_FAILS(klmesh_mesh_create(&world, &large, &mesh), KLMESH_INVALID_ARGUMENT, "does not have");
  const klmesh_mesh_options sized = {
      .struct_size = rank == 0 ? 4 : sizeof sized, .batch = batch_parts, .vocab = vocab_parts};
  CHECK_FAILS(klmesh_mesh_create(&world, &sized, &mesh), KLMESH_INVALID_ARGUMENT, "options has 4 bytes");
  CHECK_FAILS(klmesh_mesh_create(&world, NULL, rank == 0 ? NULL : &mesh), KLMESH_INVALID_ARGUMENT, "mesh is NULL");
  if (batch_parts * vocab_parts > 1) { /* one rank leaves the choice to the library, the others do not */
    const klmesh_mesh_options given = {.struct_size = sizeof given, .batch = batch_parts, .vocab = vocab_parts};
    CHECK_FAILS(klmesh_mesh_create(&world, rank == 0 ? NULL : &given, &mesh), KLMESH_INVALID_DATA, "ranks disagree");
  }
}

void test_null_arguments(void) {
  const MPI_Comm null = MPI_COMM_NULL;
  klmesh_mesh* mesh = NULL;
  klmesh_engine* engine = NULL;
  klmesh_shard shard = {.struct_size = 3};
  int64_t row = 0;
  CHECK_FAILS(klmesh_mesh_create_self(NULL), KLMESH_INVALID_ARGUMENT, "mesh is NULL");
  CHECK_FAILS(klmesh_mesh_create(NULL, NULL, &mesh), KLMESH_INVALID_ARGUMENT, "mpi_comm is NULL");
  CHECK_FAILS(klmesh_mesh_create(&null, NULL, &mesh), KLMESH_INVALID_ARGUMENT, "");
  CHECK_FAILS(klmesh_mesh_create_from_groups(&null, NULL, NULL, &mesh), KLMESH_INVALID_ARGUMENT, "batch_comm is NULL");
  CHECK_FAILS(klmesh_mesh_get_shape(NULL, NULL), KLMESH_INVALID_ARGUMENT, "mesh is NULL");
  CHECK_FAILS(klmesh_engine_create(NULL, VOCAB, &engine), KLMESH_INVALID_ARGUMENT, "mesh is NULL");
  CHECK_FAILS(klmesh_engine_shard(NULL, &shard), KLMESH_INVALID_ARGUMENT, "engine is NULL");
  CHECK_FAILS(klmesh_evaluate(NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL), KLMESH_INVALID_ARGUMENT,
              "engine is NULL");
  CHECK_FAILS(klmesh_gradient(NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL), KLMESH_INVALID_ARGUMENT,
              "engine is NULL");
  CHECK_FAILS(klmesh_sums_reduce(NULL, NULL, NULL, NULL), KLMESH_INVALID_ARGUMENT, "engine is NULL");
  CHECK_FAILS(klmesh_sums_create(0, KLMESH_CORE, NULL), KLMESH_INVALID_ARGUMENT, "sums is NULL");
  CHECK_FAILS(klmesh_sums_merge(NULL, NULL), KLMESH_INVALID_ARGUMENT, " is NULL");
  CHECK_OK(klmesh_mesh_create_self(&mesh));
  CHECK_FAILS(klmesh_mesh_get_shape(mesh, NULL), KLMESH_INVALID_ARGUMENT, "shape is NULL");
  CHECK_FAILS(klmesh_engine_create(mesh, 0, &engine), KLMESH_INVALID_ARGUMENT, "");
  CHECK_FAILS(klmesh_engine_create(mesh, VOCAB, NULL), KLMESH_INVALID_ARGUMENT, "engine is NULL");
  CHECK_OK(klmesh_engine_create(mesh, VOCAB, &engine));
  CHECK_FAILS(klmesh_engine_shard(engine, &shard), KLMESH_INVALID_ARGUMENT, "shard has 3 bytes");
  CHECK_FAILS(klmesh_engine_owned_rows(engine, 4, &row, NULL), KLMESH_INVALID_ARGUMENT, "end is NULL");
  CHECK_FAILS(klmesh_engine_owned_rows(engine, -4, &row, &row), KLMESH_INVALID_ARGUMENT, "negative");
  CHECK_FAILS(klmesh_sums_accumulate(engine, NULL, sizeof(klmesh_token), 0, NULL, NULL), KLMESH_INVALID_ARGUMENT,
              "sums is NULL");
  CHECK_FAILS(klmesh_evaluate(engine, NULL, NULL, NULL, NULL, NULL, sizeof(klmesh_token), 0, NULL),
              KLMESH_INVALID_ARGUMENT, "policy is NULL");
  klmesh_engine_destroy(engine);
  klmesh_mesh_destroy(mesh);
  klmesh_mesh_destroy(NULL);
  klmesh_engine_destroy(NULL);
  klmesh_sums_destroy(NULL);
}
