// The tokens that phase 3 sampled, one JSON object a line, to compare runs or to replay one.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
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
  /// Is the step part of what a resumed run goes on from?
  using Keep = std::function<bool(std::string_view arm, std::int64_t step)>;

  /// Empties the file; with `keep`, cuts it off before the first step that is not kept, and a line that a crash left
  /// unfinished. Collective over the world of the mesh, which must outlive this.
  /// @throws IoError on every rank, naming the path, if it cannot be written
  /// @throws InvalidData on every rank, naming path and line, and leaves it as it is, if the file to go on with is no dump
  TokenDump(std::filesystem::path path, Mesh& mesh, const Keep& keep = nullptr);

  /// Collective over the world. Blocks. @param total sequences of all ranks
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

  /// The requested part of a step, in the place of what Sampler::sample() would have drawn.
  /// @throws InvalidData if the file lacks the step or its shape differs: whatever part is asked for
  void serve(std::string_view arm, const SampleRequest& request, std::int64_t total, std::int64_t context,
             SampleBatch& batch) const;

 private:
  using Sequences = std::vector<std::vector<std::int32_t>>;
  void add_step(const std::string& line, std::int64_t vocab_size);
  const Sequences& find(std::string_view arm, const SampleRequest& request, std::int64_t total) const;

  std::string path_;
  std::map<std::pair<std::string, std::int64_t>, Sequences> steps_;
};

}  // namespace klmesh::loop
