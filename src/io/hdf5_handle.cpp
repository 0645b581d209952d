#include "io/hdf5_handle.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

// Called by C code: nothing may be thrown through it.
herr_t append_entry(unsigned, const H5E_error2_t* entry, void* text) noexcept {
  try {
    auto& out = *static_cast<std::string*>(text);
    out += fmt::format("{}{}: {}", out.empty() ? "" : "; ", entry->func_name ? entry->func_name : "?",
                       entry->desc ? entry->desc : "?");
  } catch (...) {
    return -1;
  }
  return 0;
}

// The cause first, the public function last.
std::string error_stack_text() {
  std::string text;
  if (H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, append_entry, &text) < 0 || text.empty())
    text += text.empty() ? "no details" : "; ...";
  return text;
}

}  // namespace

SilentErrors::SilentErrors() noexcept {
  // If the handler can't be read or replaced, HDF5 stays talkative; nothing else is lost.
  if (H5Eget_auto2(H5E_DEFAULT, &handler_, &data_) >= 0) H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

SilentErrors::~SilentErrors() { H5Eset_auto2(H5E_DEFAULT, handler_, data_); }

void throw_hdf5_error(std::string_view call, std::source_location where) {
  const std::string_view file = where.file_name();
  throw Hdf5Error(fmt::format("{} failed: {} ({}:{})", call, error_stack_text(),
                              file.substr(file.find_last_of('/') + 1), where.line()));
}

Handle Handle::adopt(hid_t id, std::string_view call, CloseFunction close_function,
                     std::source_location where) {
  return {check(id, call, where), close_function};
}

Handle::Handle(Handle&& other) noexcept
    : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_function_(other.close_function_) {}

Handle& Handle::operator=(Handle&& other) noexcept {
  Handle taken(std::move(other));  // what this one held is closed at the end of this function
  std::swap(id_, taken.id_);
  std::swap(close_function_, taken.close_function_);
  return *this;
}

Handle::~Handle() {
  if (id_ < 0) return;
  const SilentErrors silent;
  close_function_(id_);
}

hid_t Handle::release() noexcept { return std::exchange(id_, H5I_INVALID_HID); }

void Handle::close(std::source_location where) {
  if (id_ < 0) return;
  const SilentErrors silent;
  check(close_function_(release()), "closing an HDF5 object", where);
}

}  // namespace klmesh::io
