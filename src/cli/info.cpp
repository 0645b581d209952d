#include "cli/info.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <string_view>
#include <thread>
#include <vector>

#include "cli/console.hpp"
#include "comm/mpi_check.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh::cli {
namespace {

// Ranks per host name. Collective; every rank gets it.
std::map<std::string, int> ranks_by_host(MPI_Comm world) {
  int size = 0;
  comm::check(MPI_Comm_size(world, &size), "MPI_Comm_size");
  std::vector<char> mine(MPI_MAX_PROCESSOR_NAME, '\0');
  int length = 0;
  comm::check(MPI_Get_processor_name(mine.data(), &length), "MPI_Get_processor_name");
  std::vector<char> all(static_cast<std::size_t>(size) * MPI_MAX_PROCESSOR_NAME);
  comm::check(MPI_Allgather(mine.data(), MPI_MAX_PROCESSOR_NAME, MPI_CHAR, all.data(), MPI_MAX_PROCESSOR_NAME,
                            MPI_CHAR, world),
              "MPI_Allgather");
  std::map<std::string, int> hosts;
  for (std::size_t at = 0; at < all.size(); at += MPI_MAX_PROCESSOR_NAME) {
    ++hosts[std::string(&all[at], strnlen(&all[at], MPI_MAX_PROCESSOR_NAME))];
  }
  return hosts;
}

// The first line: vendors append their build's life story.
std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  comm::check(MPI_Get_library_version(text, &length), "MPI_Get_library_version");
  const std::string_view whole(text);
  return std::string(whole.substr(0, whole.find_first_of(",\n")));
}

}  // namespace

std::string version_text() { return "klmesh " KLMESH_VERSION; }

int run_info(MPI_Comm world) {
  const std::map<std::string, int> hosts = ranks_by_host(world);
  const MeshShape mesh = default_mesh_shape(world);
  int rank = 0;
  comm::check(MPI_Comm_rank(world, &rank), "MPI_Comm_rank");
  if (rank != 0) return 0;
  std::string text;
  const auto line = [&](std::string_view name, std::string_view value) {
    text += fmt::format("{:<13} {}\n", name, value);
  };
  line("version", version_text());
  line("compiler", fmt::format("{} ({})", KLMESH_COMPILER, KLMESH_BUILD_TYPE));
  line("mpi", mpi_library());
  line("backends", "cpu");
  line("cuda", "not in this build");
  line("cpu threads", fmt::format("{}", std::thread::hardware_concurrency()));
  for (const auto& [host, ranks] : hosts) line("host", fmt::format("{} ({} ranks)", host, ranks));
  line("default mesh", to_string(mesh));
  write_out(stdout, text);
  return 0;
}

}  // namespace klmesh::cli
