// The wall between C++ and C: exceptions become status codes and a text.
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "klmesh/error.hpp"
#include "klmesh/klmesh.h"

namespace klmesh::capi {

/// Status of an exception; its text becomes this thread's klmesh_last_error(). Never throws: a text that is too long
/// is cut.
klmesh_status report(const std::exception_ptr& error) noexcept;

/// Runs the body of a C function.
template <typename Body>
klmesh_status guard(Body&& body) noexcept {
  try {
    body();
    return KLMESH_OK;
  } catch (...) {
    return report(std::current_exception());
  }
}

/// What a pointer that may not be null points at.
/// @throws InvalidArgument naming it
template <typename T>
T& require(T* pointer, std::string_view name) {
  if (pointer == nullptr) throw InvalidArgument(std::string(name) + " is NULL");
  return *pointer;
}

}  // namespace klmesh::capi
