// Runs Python with h5py, the reader that people use on our files.
#pragma once

#include <string>

namespace klmesh::io {

/// True if the system's Python imports h5py.
bool have_h5py();

/// Runs a script and gives what it printed, errors included; `argument` is its sys.argv[1].
std::string run_python(const std::string& script, const std::string& argument);

}  // namespace klmesh::io
