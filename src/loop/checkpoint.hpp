// Checkpoints of a run: what all ranks do together to write a generation, and to go on from one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/generation.hpp"
#include "klmesh/mesh.hpp"
#include "loop/state_view.hpp"
#include "loop/train_config.hpp"
#include "loop/training_report.hpp"

namespace klmesh::loop {

/// What a generation must have in common with the run that goes on from it.
struct RunIdentity {
  std::string config_toml;  ///< on rank 0, see TrainingFiles
  std::uint64_t corpus = 0;
  ModelConfig model;
  std::int64_t vocab_size = 0;
};

/// Where a generation goes on, and what it had recorded.
struct Restored {
  RunPosition position;
  StateExtras extras;
  std::string generation;  ///< its directory
};

/// Hears why a generation could not be used.
using DamageReport = std::function<void(const std::string& why)>;

/// The generations of one run directory, which all ranks must see. Collective over the world of the mesh: every
/// function returns on all ranks, or throws the same error on all.
class Checkpoints {
 public:
  /// @param run  rank 0's counts; empty: no generations are written or found. @param mesh must outlive this
  /// @param keep generations kept, at least 2
  /// @throws IoError
  Checkpoints(Mesh& mesh, const std::string& run, std::int64_t keep, RunIdentity identity);

  bool enabled() const noexcept { return !run_.empty(); }

  /// Writes a generation and removes those that are too old. Batch part 0 writes, one file a rank.
  /// @param extras statistics of rank 0 count, reports are equal on all ranks
  /// @returns its directory
  /// Cost: the state once to disk, twice in memory; blocks until the device has it.
  /// @throws IoError: the generations before are intact
  std::string write(const RunPosition& position, const StateView& view, const StateExtras& extras);

  /// Opens the newest generation that is whole. @param damaged hears of those that are not
  /// @throws InputNotFound if there is none at all
  /// @throws InvalidData   if all are damaged, or if the newest whole one is of another run, naming what differs
  Restored open(const DamageReport& damaged);

  /// Restores the arrays of the generation that open() opened, and closes it. @throws InvalidData
  void restore(const StateView& view);

 private:
  struct Loaded {
    io::Manifest manifest;
    std::vector<StateSource> sources;
  };

  std::filesystem::path generation(std::int64_t number) const { return io::generation_path(run_, number); }
  Loaded load(std::int64_t number) const;
  std::vector<std::int64_t> numbers() const;
  void require_same_run(const std::string& generation, const io::Manifest& manifest) const;
  std::vector<io::StateFileEntry> write_files(const std::filesystem::path& directory, const StateView& view,
                                              const StateExtras& extras);
  io::Manifest manifest_of(const RunPosition& position, std::vector<io::StateFileEntry> files) const;
  void remove_old() const;

  Mesh& mesh_;
  std::filesystem::path run_;
  std::int64_t keep_;
  RunIdentity identity_;
  std::int64_t next_number_ = 0;  // that of the start of a run
  std::vector<std::int64_t> damaged_;  // generations that are none; removed once there is a newer one
  std::optional<Loaded> loaded_;
};

/// The configuration that the newest readable generation of a run was written with, as TrainingFiles gave it: enough
/// to resume without the configuration's file. Local.
/// @throws InputNotFound if there is no generation; InvalidData if no manifest is whole; IoError
std::string stored_config(const std::filesystem::path& run);

}  // namespace klmesh::loop
