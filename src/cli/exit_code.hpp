// Which exit code an exception becomes. Numbers follow sysexits.h.
#pragma once

#include <exception>
#include <string>

#include "klmesh/error.hpp"

namespace klmesh::cli {

enum class ExitCode : int {
  ok = 0,
  usage = 64,          ///< bad argument, --set or environment value
  data = 65,           ///< read, but wrong
  no_input = 66,       ///< no such input or config file
  unavailable = 69,    ///< back end not in this build or machine
  internal = 70,       ///< a defect of this program
  io = 74,             ///< reading or writing failed
  communication = 75,  ///< hang or lost peer
};

/// Why a rank stops: what the process exits with, and the one message for people.
struct Failure {
  ExitCode code = ExitCode::internal;
  std::string message;  ///< without the program's name, or what kind of error it is
};

/// Reads the failure off a caught exception. @param error not null, as from std::current_exception()
inline Failure failure_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const InvalidArgument& e) {
    return {ExitCode::usage, e.what()};
  } catch (const InvalidData& e) {
    return {ExitCode::data, e.what()};
  } catch (const InputNotFound& e) {
    return {ExitCode::no_input, e.what()};
  } catch (const BackendUnavailable& e) {
    return {ExitCode::unavailable, e.what()};
  } catch (const IoError& e) {
    return {ExitCode::io, e.what()};
  } catch (const CommunicationError& e) {
    return {ExitCode::communication, e.what()};
  } catch (const std::exception& e) {
    return {ExitCode::internal, e.what()};
  } catch (...) {
    return {ExitCode::internal, "unknown exception"};
  }
}

/// The inverse, for ranks that are told of a failure elsewhere. @throws the class that failure_of() maps to
/// `failure`
[[noreturn]] inline void throw_failure(const Failure& failure) {
  switch (failure.code) {
    case ExitCode::usage:
      throw InvalidArgument(failure.message);
    case ExitCode::data:
      throw InvalidData(failure.message);
    case ExitCode::no_input:
      throw InputNotFound(failure.message);
    case ExitCode::unavailable:
      throw BackendUnavailable(failure.message);
    case ExitCode::io:
      throw IoError(failure.message);
    case ExitCode::communication:
      throw CommunicationError(failure.message);
    case ExitCode::ok:
    case ExitCode::internal:
      break;
  }
  throw Error(failure.message);
}

}  // namespace klmesh::cli
