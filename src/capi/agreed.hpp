// Failures of the conversion from C, which happen before the engine is reached, shared with the other ranks.
#pragma once

#include <exception>
#include <string_view>
#include <utility>

#include "comm/agreement.hpp"

namespace klmesh::capi {

/// Runs `convert`. If it throws, takes part in the agreement that the engine call of the other ranks begins with, so
/// that all of them throw what this rank found; if not, nothing is exchanged.
/// @param group, operation those of the agreement in the engine call that follows
template <typename Convert>
auto converted(Communicator& group, std::string_view operation, Convert&& convert) {
  std::exception_ptr failure;
  try {
    return std::forward<Convert>(convert)();
  } catch (...) {
    failure = std::current_exception();  // not exchanged from inside the handler: that may throw for another reason
  }
  agree(group, operation, 0, failure);
  std::rethrow_exception(failure);  // not reached: agree() throws
}

}  // namespace klmesh::capi
