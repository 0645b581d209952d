// Runs that are stopped and resumed, on any mesh that the ranks of the world can form.
#pragma once

#include <gtest/gtest.h>
#include <hdf5.h>
#include <mpi.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "klmesh/error.hpp"
#include "loop/host/host_ops.hpp"
#include "loop/meshes.hpp"
#include "loop/run_reports.hpp"
#include "loop/shared_directory.hpp"
#include "loop/small_corpus.hpp"
#include "loop/training.hpp"

namespace klmesh::loop {

/// Every BxV of at most the world's ranks, vocabulary parts being whole subtrees: from 1x1 to all ranks.
inline std::vector<MeshShape> smaller_meshes() {
  std::vector<MeshShape> shapes;
  for (int ranks = 1; ranks <= world_size(); ++ranks) {
    for (int vocab = 1; vocab <= ranks; vocab *= 2) {
      if (ranks % vocab == 0) shapes.push_back({ranks / vocab, vocab});
    }
  }
  return shapes;
}

/// What a crash is here: thrown on all ranks, after a step was recorded and before anything else happens.
struct Crash : std::runtime_error {
  Crash() : std::runtime_error("crash") {}
};

/// One run of the program.
struct Leg {
  MeshShape mesh;
  int stop_after = 0;   ///< steps of this leg after which the last rank alone asks to stop; 0: runs to the end
  int crash_after = 0;  ///< steps of this leg; 0: does not crash
  bool resume = false;
};

/// What one did, on the ranks of its mesh.
struct Outcome {
  TrainingSummary summary;
  std::vector<std::string> damage;
  std::string error;     ///< what was thrown, if anything
  std::string resumed;   ///< position
  int generations = 0;   ///< written
  bool invalid_data = false, not_found = false;
};

class LegObserver final : public TrainingObserver {
 public:
  LegObserver(const Leg& leg, Outcome& outcome) : leg_(leg), outcome_(outcome) {}
  void step_done(const StepRecord&) override {
    if (++steps_ == leg_.crash_after) throw Crash();
  }
  void generation_damaged(std::string_view why) override { outcome_.damage.emplace_back(why); }
  void generation_written(const RunPosition&, std::string_view) override { ++outcome_.generations; }
  void resumed(const RunPosition& at, std::string_view) override { outcome_.resumed = to_string(at); }
  int steps() const { return steps_; }

 private:
  const Leg& leg_;
  Outcome& outcome_;
  int steps_ = 0;
};

inline Outcome run_on(MPI_Comm comm, const Leg& leg, const TrainConfig& config, const std::string& run,
                      const std::string& config_toml) {
  Outcome outcome;
  Mesh mesh = borrow_mesh(comm, leg.mesh);
  HostOps ops(mesh);
  LegObserver observer(leg, outcome);
  std::optional<RunRecord> record;
  TrainingFiles files{.record = nullptr,
                      .dump_tokens = run + "/tokens.jsonl",
                      .replay_tokens = {},
                      .dump_logits = {},
                      .directory = run,
                      .config_toml = config_toml,
                      .resume = leg.resume,
                      .stop_requested = nullptr};
  if (mesh.world().rank() == 0) {
    record.emplace(run, io::RunAttributes{.config_toml = "", .mesh = "", .created_utc = "", .library_version = ""});
    files.record = &*record;
  }
  if (leg.stop_after > 0 && mesh.world().rank() == mesh.world().size() - 1) {
    files.stop_requested = [&] { return observer.steps() >= leg.stop_after; };
  }
  try {
    outcome.summary = run_training(ops, config, files, observer);
  } catch (const std::exception& error) {
    outcome.error = error.what();
    outcome.invalid_data = dynamic_cast<const InvalidData*>(&error) != nullptr;
    outcome.not_found = dynamic_cast<const InputNotFound*>(&error) != nullptr;
  }
  return outcome;
}

/// Runs a leg on the first ranks of the world; the others wait. Collective over MPI_COMM_WORLD.
inline Outcome run_leg(const Leg& leg, const TrainConfig& config, const std::string& run,
                       const std::string& config_toml = "seed = 1\n") {
  const bool takes_part = world_rank() < leg.mesh.ranks();
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, takes_part ? 0 : MPI_UNDEFINED, world_rank(), &comm);
  Outcome outcome;
  if (takes_part) outcome = run_on(comm, leg, config, run, config_toml);
  if (comm != MPI_COMM_NULL) MPI_Comm_free(&comm);
  // Those who wait must not spin: they would take the cores of those who work.
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Ibarrier(MPI_COMM_WORLD, &request);
  for (int done = 0; done == 0; MPI_Test(&request, &done, MPI_STATUS_IGNORE)) usleep(1000);
  return outcome;
}

/// All datasets of /steps, as bits; every NaN is the same one.
inline std::map<std::string, std::vector<std::uint64_t>> steps_of(const std::filesystem::path& file) {
  std::map<std::string, std::vector<std::uint64_t>> columns;
  const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  EXPECT_GE(id, 0) << file;
  if (id < 0) return columns;
  std::vector<std::string> names{"phase", "step"};
  for (const io::Column& column : step_columns()) names.push_back(column.name);
  for (const std::string& name : names) {
    const hid_t data = H5Dopen2(id, ("/steps/" + name).c_str(), H5P_DEFAULT);
    const hid_t space = H5Dget_space(data);
    std::vector<double> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
    EXPECT_GE(H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0) << name;
    for (const double v : values) {
      columns[name].push_back(std::isnan(v) ? ~std::uint64_t{0} : std::bit_cast<std::uint64_t>(v));
    }
    H5Sclose(space);
    H5Dclose(data);
  }
  H5Fclose(id);
  return columns;
}

inline std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::int64_t count_lines(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::int64_t lines = 0;
  for (std::string line; std::getline(in, line);) ++lines;
  return lines;
}

/// The summary without the clock's numbers.
inline std::vector<std::int64_t> timeless(TrainingSummary summary) {
  for (ArmReport& arm : summary.arms) arm.first.seconds = arm.last.seconds = 0;
  return to_words({std::move(summary), {}, {}});
}

}  // namespace klmesh::loop
