#include "io/python.hpp"

#include <array>
#include <cstdio>
#include <stdexcept>

#include "io/scratch_directory.hpp"

namespace klmesh::io {

std::string run_python(const std::string& script, const std::string& argument) {
  const ScratchDirectory directory;
  write_text(directory / "script.py", script);
  const std::string command =
      "/usr/bin/python3 " + (directory / "script.py").string() + " '" + argument + "' 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen failed: " + command);
  std::string output;
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
    output.append(buffer.data(), n);
  if (pclose(pipe) != 0) output += "[python failed]";
  return output;
}

bool have_h5py() {
  static const bool have = run_python("import h5py; print('yes')", "") == "yes\n";
  return have;
}

}  // namespace klmesh::io
