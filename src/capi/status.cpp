#include "capi/status.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>

namespace klmesh::capi {
namespace {

// A buffer rather than a string: reporting that memory has run out must not need any.
thread_local std::array<char, 2048> last_error{};

klmesh_status fail(klmesh_status status, std::string_view text) noexcept {
  const std::size_t length = std::min(text.size(), last_error.size() - 1);
  std::copy_n(text.data(), length, last_error.data());
  last_error[length] = '\0';
  return status;
}

}  // namespace

klmesh_status report(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const InvalidArgument& e) {
    return fail(KLMESH_INVALID_ARGUMENT, e.what());
  } catch (const InvalidData& e) {
    return fail(KLMESH_INVALID_DATA, e.what());
  } catch (const InputNotFound& e) {
    return fail(KLMESH_INPUT_NOT_FOUND, e.what());
  } catch (const BackendUnavailable& e) {
    return fail(KLMESH_BACKEND_UNAVAILABLE, e.what());
  } catch (const Hdf5Error& e) {  // derived before base
    return fail(KLMESH_HDF5_ERROR, e.what());
  } catch (const IoError& e) {
    return fail(KLMESH_IO_ERROR, e.what());
  } catch (const MpiError& e) {
    return fail(KLMESH_MPI_ERROR, e.what());
  } catch (const DeadlineExceeded& e) {
    return fail(KLMESH_DEADLINE_EXCEEDED, e.what());
  } catch (const CommunicationError& e) {
    return fail(KLMESH_COMMUNICATION_ERROR, e.what());
  } catch (const std::bad_alloc&) {
    return fail(KLMESH_OUT_OF_MEMORY, "out of memory");
  } catch (const std::length_error&) {  // a vector longer than any can be
    return fail(KLMESH_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return fail(KLMESH_INTERNAL_ERROR, e.what());
  } catch (...) {
    return fail(KLMESH_INTERNAL_ERROR, "an exception of unknown type");
  }
}

}  // namespace klmesh::capi

extern "C" {

const char* klmesh_version(void) { return KLMESH_VERSION; }

int32_t klmesh_abi_version(void) { return KLMESH_ABI_VERSION; }

const char* klmesh_last_error(void) { return klmesh::capi::last_error.data(); }

const char* klmesh_status_name(klmesh_status status) {
  constexpr std::array names{"ok",
                             "invalid argument",
                             "invalid data",
                             "input not found",
                             "back end unavailable",
                             "I/O error",
                             "HDF5 error",
                             "communication error",
                             "MPI error",
                             "deadline exceeded",
                             "out of memory",
                             "internal error"};
  static_assert(names.size() == KLMESH_INTERNAL_ERROR + 1);
  const bool known = status >= 0 && static_cast<std::size_t>(status) < names.size();
  return known ? names[static_cast<std::size_t>(status)] : "unknown status";
}
}
