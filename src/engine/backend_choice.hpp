// Which back end a job runs on: what was asked for, or the best that is there.
#pragma once

#include <string>
#include <utility>

#include "klmesh/error.hpp"

namespace klmesh {

enum class BackendChoice {
  automatic,  ///< GPUs if every rank can have its own, else the host
  cpu,
  cuda,
};

/// What `device()` makes, or `host()`: the same on every rank, if device() throws BackendUnavailable on every rank or on
/// none. @throws BackendUnavailable, naming the option, if `cuda` cannot be had; whatever else the two throw
template <class Device, class Host>
auto choose_backend(BackendChoice choice, Device&& device, Host&& host) -> decltype(host()) {
  if (choice == BackendChoice::cpu) return host();
  try {
    return device();
  } catch (const BackendUnavailable& error) {
    if (choice == BackendChoice::cuda) throw BackendUnavailable(std::string("--backend cuda: ") + error.what());
  }
  return host();
}

}  // namespace klmesh
