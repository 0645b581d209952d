// What is wrong with an input file, told with the file and the dataset.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "klmesh/error.hpp"

namespace klmesh::io {

/// Where in the input something is: "FILE: dataset NAME".
std::string dataset_place(const std::string& path, std::string_view name);

/// @throws InvalidData "PLACE: TEXT", always
[[noreturn]] void refuse(std::string_view place, std::string_view text);

/// Tells a failure of HDF5 on an input apart: IoError if the operating system could not read (device error,
/// lock held by a writer), else InvalidData: the file itself is corrupt or truncated. Always throws.
[[noreturn]] void throw_input_error(std::string_view place, const Hdf5Error& error);

/// Runs `call`, with its Hdf5Error turned into the above.
template <typename Call>
auto reading(std::string_view place, Call&& call) {
  try {
    return std::forward<Call>(call)();
  } catch (const Hdf5Error& error) {
    throw_input_error(place, error);
  }
}

}  // namespace klmesh::io
