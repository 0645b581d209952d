#include "checks.hpp"

#include <cmath>
#include <cstdio>

#include "groups.hpp"

namespace consumer {

Checks::Checks(MPI_Comm world) : world_(world) {
  if (rank_of(world_) == 0) std::printf("# %-46s %14s %10s\n", "check", "value", "error");
}

void Checks::within(const std::string& what, double value, double error, double tolerance) {
  double worst = std::isnan(error) ? INFINITY : error;  // the maximum of NaN and a number is anybody's guess
  check(MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_DOUBLE, MPI_MAX, world_), "MPI_Allreduce");
  int good = error <= tolerance ? 1 : 0;
  check(MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, world_), "MPI_Allreduce");
  passed_ = passed_ && good == 1;
  if (rank_of(world_) == 0) {
    std::printf("  %-46s %14.9g %10.2g  %s\n", what.c_str(), value, worst, good == 1 ? "OK" : "WRONG");
  }
}

void Checks::equal(const std::string& what, double value, double expected) {
  within(what, value, std::fabs(value - expected), 0);
}

}  // namespace consumer
