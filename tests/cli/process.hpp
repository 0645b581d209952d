// Runs a shell command and keeps what it printed and how it ended.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "cli/scratch_directory.hpp"

namespace klmesh::cli::test {

struct Result {
  int code = -1;  ///< exit code; -1 if a signal ended it
  std::string out;
  std::string err;
};

inline std::string read_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// Bounded by a minute: a program that hangs is a failure, not a stuck test.
inline Result run(const std::string& command) {
  const ScratchDirectory scratch;
  const std::string out = (scratch.path() / "out").string();
  const std::string err = (scratch.path() / "err").string();
  const std::string shell = "timeout -k 5 60 " + command + " >" + out + " 2>" + err + " </dev/null";
  const int status = std::system(shell.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_text(out), read_text(err)};
}

inline int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

}  // namespace klmesh::cli::test
