#include "loop/checkpoint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "comm/agreement.hpp"
#include "io/sha256.hpp"
#include "klmesh/error.hpp"
#include "loop/broadcast.hpp"
#include "loop/resume_config.hpp"

namespace klmesh::loop {
namespace fs = std::filesystem;
namespace {

constexpr const char* kOperation = "checkpoint";

std::string hex(std::uint64_t value) { return fmt::format("{:016x}", value); }

std::vector<std::pair<std::string, std::int64_t>> shapes_of(const RunIdentity& identity) {
  return {{"vocab_size", identity.vocab_size},
          {"context", identity.model.context},
          {"embedding", identity.model.embedding},
          {"hidden", identity.model.hidden}};
}

// What the ranks of the first batch part tell each other of their files; of one size on all.
struct WrittenFile {
  std::int64_t bytes = 0, vocab_begin = 0, vocab_end = 0;
  std::array<char, 64> sha256{};
};

// Of the file, not of this program or its peers: the generation before may be whole.
bool is_damage(const Error& error) {
  return dynamic_cast<const InvalidData*>(&error) != nullptr || dynamic_cast<const InputNotFound*>(&error) != nullptr ||
         dynamic_cast<const IoError*>(&error) != nullptr;
}

std::string file_name(int part) { return fmt::format("state-{}.h5", part); }

}  // namespace

Checkpoints::Checkpoints(Mesh& mesh, const std::string& run, std::int64_t keep, RunIdentity identity)
    : mesh_(mesh),
      run_(broadcast_text(mesh.world(), run)),
      keep_(std::max<std::int64_t>(2, keep)),
      identity_(std::move(identity)) {
  if (!enabled()) return;
  const std::vector<std::int64_t> existing = numbers();
  if (!existing.empty()) next_number_ = existing.front() + 1;
}

// Rank 0 looks: directories are the last thing that file systems of several nodes agree about.
std::vector<std::int64_t> Checkpoints::numbers() const {
  std::vector<std::int64_t> numbers;
  const bool looks = mesh_.world().rank() == 0;
  agree(mesh_.world(), kOperation, 0, failure_of([&] {
          if (looks) numbers = io::list_generations(run_);
        }));
  return broadcast_words(mesh_.world(), std::move(numbers));
}

std::string Checkpoints::write(const RunPosition& position, const StateView& view, const StateExtras& extras) {
  Communicator& world = mesh_.world();
  const bool first = world.rank() == 0;
  const std::int64_t number = next_number_++;
  fs::path directory;
  agree(world, kOperation, 0, failure_of([&] {
          if (first) directory = io::begin_generation(run_, number);
        }));
  directory = broadcast_text(world, directory.string());
  try {
    std::vector<io::StateFileEntry> files = write_files(directory, view, extras);
    agree(world, kOperation, 0, failure_of([&] {
            if (!first) return;
            io::commit_generation(run_, number, directory, manifest_of(position, std::move(files)));
            remove_old();
          }));
  } catch (const Error&) {
    // A half-written one would keep a full disk full.
    std::error_code ignored;
    if (first) fs::remove_all(directory, ignored);
    throw;
  }
  return generation(number).string();
}

// Batch parts hold the same arrays: the first one writes.
std::vector<io::StateFileEntry> Checkpoints::write_files(const fs::path& directory, const StateView& view,
                                                         const StateExtras& extras) {
  WrittenFile mine;
  const bool writes = mesh_.batch_part() == 0;
  agree(mesh_.world(), kOperation, 0, failure_of([&] {
          if (!writes) return;
          const std::vector<std::byte> image = state_image(view, mesh_.world().rank() == 0 ? &extras : nullptr);
          const io::StateFileEntry entry = io::write_state_file(directory, file_name(mesh_.vocab_part()), image);
          mine = {entry.bytes, view.shard.begin, view.shard.end, {}};
          std::ranges::copy(entry.sha256, mine.sha256.begin());
        }));
  std::vector<io::StateFileEntry> entries;
  if (!writes) return entries;
  std::vector<WrittenFile> all(static_cast<std::size_t>(mesh_.shape().vocab));
  mesh_.vocab().all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  for (const WrittenFile& file : all) {
    entries.push_back({file_name(static_cast<int>(entries.size())), file.bytes,
                       std::string(file.sha256.begin(), file.sha256.end()), file.vocab_begin, file.vocab_end});
  }
  return entries;
}

io::Manifest Checkpoints::manifest_of(const RunPosition& position, std::vector<io::StateFileEntry> files) const {
  io::Manifest manifest;
  manifest.config_toml = identity_.config_toml;
  manifest.config_sha256 = io::sha256_hex(deciding_settings(identity_.config_toml));
  manifest.corpus = hex(identity_.corpus);
  manifest.phase = static_cast<std::int64_t>(position.phase);
  manifest.arm = position.arm;
  manifest.arm_name = position.arm_name;
  manifest.step = position.step;
  manifest.mesh = to_string(mesh_.shape());
  manifest.shapes = shapes_of(identity_);
  manifest.files = std::move(files);
  return manifest;
}

// Damaged ones do not count as kept, and are of no use once there is a newer one.
void Checkpoints::remove_old() const {
  std::int64_t kept = 0;
  for (const std::int64_t number : io::list_generations(run_)) {
    const bool damaged = std::ranges::find(damaged_, number) != damaged_.end();
    if (!damaged && kept++ < keep_) continue;
    io::remove_generation(run_, number);
  }
}

Restored Checkpoints::open(const DamageReport& damaged) {
  const std::vector<std::int64_t> all = enabled() ? numbers() : std::vector<std::int64_t>{};
  std::string newest_damage;
  for (const std::int64_t number : all) {
    Loaded loaded;
    const auto failure = failure_of([&] { loaded = load(number); });
    const std::uint64_t fingerprint = Fingerprint().add(io::to_text(loaded.manifest)).value();
    try {
      agree(mesh_.world(), kOperation, failure ? 0 : fingerprint, failure);
    } catch (const Error& error) {
      if (!is_damage(error)) throw;
      damaged_.push_back(number);
      damaged(error.what());
      if (newest_damage.empty()) newest_damage = error.what();
      continue;
    }
    const std::string directory = generation(number).string();
    Restored restored;
    agree(mesh_.world(), kOperation, 0, failure_of([&] {
            require_same_run(directory, loaded.manifest);
            restored.extras = read_extras(loaded.sources.front());
          }));
    const io::Manifest& m = loaded.manifest;
    restored.position = {static_cast<Phase>(m.phase), m.arm, m.arm_name, m.step};
    restored.generation = directory;
    loaded_ = std::move(loaded);
    return restored;
  }
  if (all.empty()) throw InputNotFound(fmt::format("{}: there is no checkpoint generation", run_.string()));
  throw InvalidData(fmt::format("{}: every checkpoint generation is damaged; the newest: {}", run_.string(),
                                newest_damage));
}

// The file with the replicated arrays, and those that share rows with this rank's shard.
Checkpoints::Loaded Checkpoints::load(std::int64_t number) const {
  const fs::path directory = generation(number);
  Loaded loaded{io::read_manifest(directory), {}};
  const VocabShard shard = vocab_shard(identity_.vocab_size, mesh_.vocab_part(), mesh_.shape().vocab);
  for (const io::StateFileEntry& file : loaded.manifest.files) {
    const bool shares = file.vocab_begin < shard.end && file.vocab_end > shard.begin;
    if (!loaded.sources.empty() && !shares) continue;
    const std::vector<std::byte> bytes = io::read_state_file(directory, file);
    loaded.sources.push_back(
        {file.vocab_begin, file.vocab_end, io::StateReader((directory / file.name).string(), bytes)});
  }
  return loaded;
}

void Checkpoints::require_same_run(const std::string& generation, const io::Manifest& manifest) const {
  if (mesh_.world().rank() == 0 &&
      manifest.config_sha256 != io::sha256_hex(deciding_settings(identity_.config_toml))) {
    throw InvalidData(fmt::format("{}: is of another run: {}", generation,
                                  settings_difference(manifest.config_toml, identity_.config_toml)));
  }
  for (const auto& [name, size] : shapes_of(identity_)) {
    const auto found = std::ranges::find(manifest.shapes, name, [](const auto& shape) { return shape.first; });
    const std::int64_t stored = found == manifest.shapes.end() ? -1 : found->second;
    if (stored == size) continue;
    throw InvalidData(
        fmt::format("{}: is of another run: {} is {} in the checkpoint and {} in this run", generation, name, stored, size));
  }
  if (manifest.corpus != hex(identity_.corpus)) {
    throw InvalidData(fmt::format("{}: is of another run: the texts of data.paths are others", generation));
  }
}

void Checkpoints::restore(const StateView& view) {
  agree(mesh_.world(), kOperation, 0, failure_of([&] {
          if (!loaded_) throw InvalidArgument("checkpoint: restore() without open()");
          restore_state(loaded_->sources, view);
        }));
  loaded_.reset();
}

std::string stored_config(const fs::path& run) {
  const std::vector<std::int64_t> all = io::list_generations(run);
  if (all.empty()) throw InputNotFound(fmt::format("{}: there is no checkpoint generation", run.string()));
  std::string newest_damage;
  for (const std::int64_t number : all) {
    try {
      return io::read_manifest(io::generation_path(run, number)).config_toml;
    } catch (const Error& error) {
      if (newest_damage.empty()) newest_damage = error.what();
    }
  }
  throw InvalidData(fmt::format("{}: every checkpoint generation is damaged; the newest: {}", run.string(),
                                newest_damage));
}

}  // namespace klmesh::loop
