#include <klmesh/klmesh.hpp>
#include <klmesh/mpi.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  {
    int ranks = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    // begin README
    klmesh::Mesh mesh = klmesh::borrow_mesh(MPI_COMM_WORLD, {.batch = 1, .vocab = ranks});
    klmesh::Engine engine(mesh, 50257);                        // this rank owns engine.shard()
    const std::int64_t rows = 8, columns = engine.shard().columns();
    std::vector<float> policy(rows * columns), reference(rows * columns);  // your logits, this shard's columns
    // end README
    std::vector<std::int64_t> sampled(rows);
    for (std::int64_t row = 0; row < rows; ++row) {
      sampled[row] = 6007 * row;
      for (std::int64_t c = 0; c < columns; ++c) {
        const double v = static_cast<double>(engine.shard().begin + c);
        policy[row * columns + c] = static_cast<float>(3 * std::sin(v * (1 + row)));
        reference[row * columns + c] = static_cast<float>(3 * std::sin(v * (1 + row)) + 0.5 * std::cos(3 * v + row));
      }
    }
    // begin README
    std::vector<klmesh::TokenStats> tokens(rows);
    const klmesh::RowInputs inputs{.targets = sampled, .mask = {}, .sequence = {}};
    engine.evaluate(klmesh::logits_view(policy.data(), rows, columns),
                    klmesh::logits_view(reference.data(), rows, columns), inputs, tokens, klmesh::host_stream);
    klmesh::StepSums sums;
    engine.accumulate(tokens, inputs, sums);
    const klmesh::StepStatistics step = engine.reduce(sums);   // the same bits on every rank
    const auto& kl = step[klmesh::Quantity::kl_reverse];
    if (mesh.world().rank() == 0) std::printf("exact KL %.6g +- %.2g nats, k1 %.6g\n", kl.mean, kl.standard_error,
                                              step[klmesh::Quantity::k1].mean);
    // end README
  }
  MPI_Finalize();
}
