// Checkpoint generations, RUN/gen-<n>: written under another name, put in place whole, read only if their hashes fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/disk.hpp"
#include "io/generation_manifest.hpp"

namespace klmesh::io {

/// RUN/gen-<n>.
std::filesystem::path generation_path(const std::filesystem::path& run, std::int64_t number);

/// Numbers of the generations of a run, newest first; none if there is no such directory. @throws IoError
std::vector<std::int64_t> list_generations(const std::filesystem::path& run);

/// Makes the directory in which generation `number` is written, RUN/.gen-<n>.tmp; one left by a crash is emptied.
/// @returns its path. @throws IoError
std::filesystem::path begin_generation(const std::filesystem::path& run, std::int64_t number);

/// Commits a state file in such a directory, see commit_file(), and says what the manifest must know of it, but for
/// the vocabulary range. @throws IoError
StateFileEntry write_state_file(const std::filesystem::path& directory, const std::string& name,
                                std::span<const std::byte> content, Disk& disk = posix_disk());

/// Writes the manifest, last, and puts the generation in place: once this returns it survives a crash.
/// @param directory what begin_generation() gave; all files of the manifest are written
/// @throws IoError
void commit_generation(const std::filesystem::path& run, std::int64_t number, const std::filesystem::path& directory,
                       const Manifest& manifest, Disk& disk = posix_disk());

/// Removes a generation. One that a crash leaves half removed is not found by list_generations(). @throws IoError
void remove_generation(const std::filesystem::path& run, std::int64_t number);

/// The manifest of a generation. @throws InputNotFound, InvalidData, IoError
Manifest read_manifest(const std::filesystem::path& generation);

/// The bytes of a state file, whose size and hash are those of its entry: safe to hand to HDF5.
/// @throws InputNotFound missing; InvalidData damaged or truncated; IoError
std::vector<std::byte> read_state_file(const std::filesystem::path& generation, const StateFileEntry& entry);

}  // namespace klmesh::io
