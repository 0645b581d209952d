#include "loop/policy.hpp"

namespace klmesh::loop {

Policy::Policy(Mesh& mesh, const ModelConfig& model, std::int64_t vocab_size, std::uint64_t seed,
               std::span<const float> log_unigram)
    : mesh_(&mesh),
      parameters_(initial_policy_parameters(
          model, vocab_shard(vocab_size, mesh.vocab_part(), mesh.vocab().size()), seed, log_unigram)) {}

}  // namespace klmesh::loop
