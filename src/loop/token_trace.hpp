// The tokens that phase 3 sampled, one JSON object a line, to compare runs or to replay one.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "klmesh/communicator.hpp"
#include "klmesh/mesh.hpp"
#include "loop/sampler.hpp"

namespace klmesh::loop {

/// Writes {"arm": "exact_reward", "step": 1, "tokens": [[...], ...]} for each step: all sequences, whole, in order;
/// what follows the first <eos> is <eos>. Rank 0 writes; the others take part in the exchange.
class TokenDump {
 public:
  /// Empties the file. Collective over the world of the mesh, which must outlive this.
  /// @throws IoError on every rank, naming the path, if it cannot be written
  TokenDump(std::filesystem::path path, Mesh& mesh);

  /// Collective over the world. @param total sequences of all ranks
  /// @throws IoError on every rank, naming the path
  void write(std::string_view arm, const SampleBatch& batch, const SampleRequest& request, std::int64_t total);

 private:
  std::exception_ptr append(std::string_view arm, const SampleRequest& request,
                            const std::vector<std::int64_t>& all) const;

  std::filesystem::path path_;
  Mesh& mesh_;
};

/// Reads such a file and serves its steps in place of the sampler.
class TokenReplay {
 public:
  /// Every rank reads the file. @throws InputNotFound; InvalidData naming file and line
  TokenReplay(const std::filesystem::path& path, std::int64_t vocab_size);

  /// The requested part of a step. @throws InvalidData if the file lacks the step or its shape differs: whatever
  /// part is asked for
  SampleBatch batch(std::string_view arm, const SampleRequest& request, std::int64_t total, std::int64_t context) const;

 private:
  using Sequences = std::vector<std::vector<std::int32_t>>;
  void add_step(const std::string& line, std::int64_t vocab_size);
  const Sequences& find(std::string_view arm, const SampleRequest& request, std::int64_t total) const;

  std::string path_;
  std::map<std::pair<std::string, std::int64_t>, Sequences> steps_;
};

}  // namespace klmesh::loop
