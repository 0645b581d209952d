// What launchers tell their ranks in the environment.
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "klmesh/placement.hpp"

namespace klmesh {
namespace {

struct Names {
  const char* rank;
  const char* ranks;  // null: this launcher does not say it as one number
};

constexpr Names kLaunchers[] = {
    {"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},  // Open MPI
    {"MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"},    // MVAPICH
    {"MPI_LOCALRANKID", "MPI_LOCALNRANKS"},                        // MPICH, Intel MPI (Hydra)
    {"PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"},                          // Cray and other PMI
    {"PALS_LOCAL_RANKID", nullptr},                                // HPE
    {"SLURM_LOCALID", nullptr},                                    // srun
};

std::optional<int> number(const char* name) {
  const char* const text = name == nullptr ? nullptr : std::getenv(name);
  if (text == nullptr) return std::nullopt;
  const char* const end = text + std::strlen(text);
  int value = 0;
  const auto [stop, error] = std::from_chars(text, end, value);
  if (error != std::errc{} || stop != end || value < 0) return std::nullopt;
  return value;
}

}  // namespace

std::optional<NodePlacement> launcher_placement() {
  for (const Names& names : kLaunchers) {
    const auto rank = number(names.rank);
    if (!rank) continue;
    const int ranks = number(names.ranks).value_or(0);
    if (ranks == 0 || *rank < ranks) return NodePlacement{*rank, ranks};
  }
  return std::nullopt;
}

}  // namespace klmesh
