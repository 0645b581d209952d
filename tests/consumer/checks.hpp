// The table this program prints, and its verdict.
#pragma once

#include <mpi.h>

#include <string>

namespace consumer {

/// Collects what all ranks found; rank 0 prints a line each. Every call is collective over `world`.
class Checks {
 public:
  explicit Checks(MPI_Comm world);

  /// 0 <= error <= tolerance on every rank; the line shows rank 0's value and the largest error.
  void within(const std::string& what, double value, double error, double tolerance);
  /// The expected number, bit for bit, on every rank.
  void equal(const std::string& what, double value, double expected);

  bool passed() const { return passed_; }

 private:
  MPI_Comm world_;
  bool passed_ = true;
};

}  // namespace consumer
