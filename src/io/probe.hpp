// Opens a foreign file in a child process first: a file that crashes HDF5 then is bad data, and no crash.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace klmesh::io {

/// The hidden option under which the program runs probe_main().
constexpr const char* probe_option = "--probe-logits-file";

/// The work of the child: opens `path` as LogitsFile does and reads a little of, and checks, the first and
/// last chunk of every dataset. Cost: a few chunks, however large the file.
/// @throws as LogitsFile
void probe_logits_file(const std::filesystem::path& path);

/// The same as the body of a main(): the message of a failure goes to stdout, alone; no core is dumped.
/// @return what the process must exit with: 0, or 65 InvalidData, 66 InputNotFound, 74 IoError, 70 anything
/// else
int probe_main(const std::filesystem::path& path);

/// Runs `program --probe-logits-file PATH` and throws here what was thrown there. Call it before MPI_Init, on
/// one rank. Blocks until the child ends, at most `timeout` (and 2 seconds).
/// @param program this very program, /proc/self/exe where there is one
/// @throws InvalidData also if the file crashes the reader or the timeout passes
/// @throws InputNotFound, IoError  as the child; IoError also if there is no running it
void probe_in_child(const std::string& program, const std::filesystem::path& path,
                    std::chrono::milliseconds timeout);

}  // namespace klmesh::io
