#include <cmath>
#include <cstdio>
#include <vector>

#include "batch.hpp"
#include "groups.hpp"
#include "scenarios.hpp"

namespace consumer {
namespace {

constexpr klmesh::DType kType = klmesh::DType::f32;

// How many ranks `call` made throw an E; rank 0 shows its message.
template <typename E, typename Call>
int ranks_that_catch(MPI_Comm world, Call&& call) {
  int caught = 0;
  try {
    call();
  } catch (const E& error) {
    caught = 1;
    if (rank_of(world) == 0) std::printf("# every rank catches: %s\n", error.what());
  }
  check(MPI_Allreduce(MPI_IN_PLACE, &caught, 1, MPI_INT, MPI_SUM, world), "MPI_Allreduce");
  return caught;
}

// The engine and one batch of this rank.
struct Host {
  explicit Host(klmesh::Mesh& mesh)
      : engine(mesh, kVocabulary), rows(rows_of(mesh.batch_part(), mesh.shape().batch)), inputs(rows),
        policy(Side::policy, kType, rows, engine.shard()), reference(Side::reference, kType, rows, engine.shard()),
        tokens(static_cast<std::size_t>(rows.size())) {}

  void evaluate(const klmesh::LogitsView& logits) {
    engine.evaluate(logits, reference.view(), inputs.view(), tokens, klmesh::host_stream);
  }
  klmesh::StepStatistics reduce() {
    klmesh::StepSums sums(kSequences);
    engine.accumulate(tokens, inputs.view(), sums);
    return engine.reduce(sums);
  }

  klmesh::Engine engine;
  klmesh::RowRange rows;
  Inputs inputs;
  Logits policy, reference;
  std::vector<klmesh::TokenStats> tokens;
};

}  // namespace

void errors(klmesh::Mesh& mesh, MPI_Comm world, Checks& checks) {
  Host host(mesh);
  const bool last = mesh.vocab_part() == mesh.shape().vocab - 1;

  // One rank of each vocabulary group forgets a row.
  klmesh::LogitsView short_view = host.policy.view();
  if (last) --short_view.rows;
  const int misshapen = ranks_that_catch<klmesh::InvalidArgument>(world, [&] { host.evaluate(short_view); });
  checks.equal("one rank misses a row: ranks that catch", misshapen, size_of(world));

  // One rank of the whole mesh has a NaN.
  Logits wrong = host.policy;
  if (last && mesh.batch_part() == 0) wrong.set(1, 5, NAN);
  host.evaluate(wrong.view());
  const int invalid = ranks_that_catch<klmesh::InvalidData>(world, [&] { host.reduce(); });
  checks.equal("one rank has a NaN: ranks that catch", invalid, size_of(world));

  // Nothing is broken by either.
  host.evaluate(host.policy.view());
  checks.equal("afterwards: invalid rows", static_cast<double>(host.reduce().invalid_rows), 0);
}

}  // namespace consumer
