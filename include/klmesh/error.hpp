// The errors klmesh throws. The library never prints, exits or aborts; only the program maps these to exit codes.
#pragma once

#include <stdexcept>
#include <string>

namespace klmesh {

/// Base of everything klmesh throws.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller passed something that no data could make right (shape, mesh, option, null handle).
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// The data are wrong: NaN or +inf logits, a target out of range, a malformed file or configuration, ranks that
/// disagree about the work. The message names the row, column, rank, file or key.
class InvalidData : public Error {
 public:
  using Error::Error;
};

/// An input file does not exist or cannot be opened.
class InputNotFound : public Error {
 public:
  using Error::Error;
};

/// The requested back end is not in this build or does not answer on this machine.
class BackendUnavailable : public Error {
 public:
  using Error::Error;
};

/// Reading or writing failed (disk full, permission, device error). The message names the path.
class IoError : public Error {
 public:
  using Error::Error;
};

/// A call into HDF5 failed.
class Hdf5Error : public IoError {
 public:
  using IoError::IoError;
};

/// A call into the CUDA run time failed, or a kernel did.
class CudaError : public Error {
 public:
  using Error::Error;
};

/// A peer was lost, or communication failed. The communicator is unusable afterwards.
class CommunicationError : public Error {
 public:
  using Error::Error;
};

/// An MPI call returned an error.
class MpiError : public CommunicationError {
 public:
  using CommunicationError::CommunicationError;
};

/// An NCCL call failed, or a communicator of NCCL's did later.
class NcclError : public CommunicationError {
 public:
  using CommunicationError::CommunicationError;
};

/// A wait passed its deadline. The message names rank, operation, sequence number and elapsed time.
class DeadlineExceeded : public CommunicationError {
 public:
  using CommunicationError::CommunicationError;
};

}  // namespace klmesh
