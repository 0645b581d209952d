// Checked calls into HDF5 and the ownership of its identifiers.
#pragma once

#include <hdf5.h>

#include <concepts>
#include <source_location>
#include <string_view>
#include <type_traits>

namespace klmesh::io {

/// Keeps HDF5 from printing its errors on stderr while it lives; the caller's handler is back afterwards.
/// The handler belongs to a thread: create and destroy on the same one, last in, first out.
class SilentErrors {
 public:
  SilentErrors() noexcept;
  ~SilentErrors();
  SilentErrors(const SilentErrors&) = delete;
  SilentErrors& operator=(const SilentErrors&) = delete;

 private:
  H5E_auto2_t handler_ = nullptr;
  void* data_ = nullptr;
};

/// Throws Hdf5Error with `call` and the text of this thread's error stack. Call it before any other HDF5
/// function: each of them clears the stack.
[[noreturn]] void throw_hdf5_error(std::string_view call, std::source_location where);

/// Passes the result of an HDF5 call on. @throws Hdf5Error if it is negative
template <std::signed_integral T>
T check(T result, std::string_view call, std::source_location where = std::source_location::current()) {
  if (result < 0) throw_hdf5_error(call, where);
  return result;
}

template <typename T>
concept Enumeration = std::is_enum_v<T>;

/// The same for the calls that return an enumeration, whose error value is -1.
template <Enumeration T>
T check(T result, std::string_view call, std::source_location where = std::source_location::current()) {
  if (static_cast<int>(result) < 0) throw_hdf5_error(call, where);
  return result;
}

/// Owns one HDF5 identifier. Move-only; an empty one is left behind by a move, release() or close().
class Handle {
 public:
  using CloseFunction = herr_t (*)(hid_t);

  /// Takes the result of the HDF5 function `call`. @throws Hdf5Error if that failed
  static Handle adopt(hid_t id, std::string_view call, CloseFunction close_function,
                      std::source_location where = std::source_location::current());

  Handle() noexcept = default;
  Handle(Handle&& other) noexcept;
  Handle& operator=(Handle&& other) noexcept;
  ~Handle();  ///< closes without a check: for unwinding; the normal path calls close()

  hid_t get() const noexcept { return id_; }
  explicit operator bool() const noexcept { return id_ >= 0; }

  /// The identifier is the caller's to close from now on.
  hid_t release() noexcept;

  /// Closes; the handle is empty afterwards, whatever happens. Does nothing to an empty one.
  /// @throws Hdf5Error if HDF5 cannot close: data that were still buffered may be lost
  void close(std::source_location where = std::source_location::current());

 private:
  Handle(hid_t id, CloseFunction close_function) noexcept : id_(id), close_function_(close_function) {}

  hid_t id_ = H5I_INVALID_HID;
  CloseFunction close_function_ = nullptr;
};

}  // namespace klmesh::io
