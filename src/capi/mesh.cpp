// Meshes: of one process, of a communicator, of a trainer's groups.
#include "klmesh/mesh.hpp"

#include <cstring>
#include <utility>

#include "capi/convert.hpp"
#include "capi/handles.hpp"
#include "capi/versioned.hpp"
#include "comm/agreement.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh::capi {
namespace {

/// A copy, because an MPI_Comm is a pointer in one MPI and an int in another: the header knows neither.
MPI_Comm communicator(const void* mpi_comm, std::string_view name) {
  require(static_cast<const std::byte*>(mpi_comm), name);
  MPI_Comm comm;
  std::memcpy(&comm, mpi_comm, sizeof comm);
  return comm;
}

CommunicatorOptions communicator_options(const klmesh_mesh_options& options) {
  if (options.deadline_seconds == 0.0) return {};
  return {std::chrono::duration<double>(options.deadline_seconds)};
}

/// What is wrong with the arguments other than communicators, without deciding alone: see agree().
std::exception_ptr failure_of_arguments(const klmesh_mesh_options* options, klmesh_mesh** mesh, bool with_shape) {
  return failure_of([&] {
    require(mesh, "mesh");
    const klmesh_mesh_options o = read_or_default(options, "options");
    if (!with_shape && (o.batch != 0 || o.vocab != 0)) {
      throw InvalidArgument("options: batch and vocab must be 0, the groups have sizes already");
    }
  });
}

klmesh_mesh_options options_or_default(const klmesh_mesh_options* options, const std::exception_ptr& failure) {
  return failure ? klmesh_mesh_options{} : read_or_default(options, "options");
}

void create(klmesh_mesh*& handle, Mesh&& mesh) { handle = new klmesh_mesh{std::make_shared<Mesh>(std::move(mesh))}; }

void create_of_world(const void* mpi_comm, const klmesh_mesh_options* options, klmesh_mesh** mesh) {
  MPI_Comm world = communicator(mpi_comm, "mpi_comm");
  const std::exception_ptr failure = failure_of_arguments(options, mesh, true);
  const klmesh_mesh_options o = options_or_default(options, failure);
  // Whether a shape is given decides what is called next, so ranks agree on it before.
  const auto all = borrow_communicator(world, communicator_options(o));
  agree(*all, "klmesh_mesh_create", Fingerprint().add(o.batch).add(o.vocab).value(), failure);
  const bool chosen = o.batch == 0 && o.vocab == 0;
  const MeshShape shape = chosen ? default_mesh_shape(world) : MeshShape{o.batch, o.vocab};
  create(*mesh, borrow_mesh(world, shape, communicator_options(o)));
}

void create_of_groups(const void* vocab_comm, const void* batch_comm, const klmesh_mesh_options* options,
                      klmesh_mesh** mesh) {
  MPI_Comm vocab = communicator(vocab_comm, "vocab_comm");
  MPI_Comm batch = communicator(batch_comm, "batch_comm");
  std::exception_ptr failure = failure_of_arguments(options, mesh, false);
  const klmesh_mesh_options o = options_or_default(options, failure);
  // Along the row, then along the column: in a grid that reaches every rank.
  for (MPI_Comm comm : {vocab, batch}) {
    const auto group = borrow_communicator(comm, communicator_options(o));
    failure = failure_of([&] { agree(*group, "klmesh_mesh_create_from_groups", 0, failure); });
  }
  if (failure) std::rethrow_exception(failure);
  create(*mesh, borrow_mesh(vocab, batch, communicator_options(o)));
}

}  // namespace
}  // namespace klmesh::capi

using namespace klmesh;
using capi::guard;
using capi::require;

extern "C" {

klmesh_status klmesh_mesh_create_self(klmesh_mesh** mesh) {
  return guard([&] { capi::create(require(mesh, "mesh"), Mesh::self()); });
}

klmesh_status klmesh_mesh_create(const void* mpi_comm, const klmesh_mesh_options* options, klmesh_mesh** mesh) {
  return guard([&] { capi::create_of_world(mpi_comm, options, mesh); });
}

klmesh_status klmesh_mesh_create_from_groups(const void* vocab_comm, const void* batch_comm,
                                             const klmesh_mesh_options* options, klmesh_mesh** mesh) {
  return guard([&] { capi::create_of_groups(vocab_comm, batch_comm, options, mesh); });
}

klmesh_status klmesh_mesh_get_shape(const klmesh_mesh* mesh, klmesh_mesh_shape* shape) {
  return guard([&] {
    const Mesh& m = *require(mesh, "mesh").mesh;
    capi::write({0, m.shape().batch, m.shape().vocab, m.batch_part(), m.vocab_part()}, shape, "shape");
  });
}

void klmesh_mesh_destroy(klmesh_mesh* mesh) { delete mesh; }
}
