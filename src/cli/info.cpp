#include "cli/info.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "cli/build_identity.hpp"
#include "cli/console.hpp"
#include "comm/mpi_check.hpp"
#include "eval/device_backend.hpp"
#include "klmesh/mpi.hpp"

namespace klmesh::cli {
namespace {

// Ranks per host name. Collective; every rank gets it.
std::map<std::string, int> ranks_by_host(Communicator& world) {
  std::vector<char> mine(MPI_MAX_PROCESSOR_NAME, '\0');
  int length = 0;
  comm::check(MPI_Get_processor_name(mine.data(), &length), "MPI_Get_processor_name");
  std::vector<char> all(static_cast<std::size_t>(world.size()) * MPI_MAX_PROCESSOR_NAME);
  world.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
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

// Those of rank 0, one line each, or why there are none.
std::vector<std::string> describe_gpus() {
  if (!eval::has_device_backend()) return {"not in this build"};
  std::vector<std::string> gpus = eval::describe_devices();
  if (gpus.empty()) gpus.push_back("none answers: none is visible, or there is no working driver");
  return gpus;
}

}  // namespace

std::string version_text() { return "klmesh " KLMESH_VERSION; }

int run_info(MPI_Comm world, const CommunicatorOptions& options) {
  const auto all = borrow_communicator(world, options);
  const std::map<std::string, int> hosts = ranks_by_host(*all);
  const MeshShape mesh = default_mesh_shape(world, options);
  if (all->rank() != 0) return 0;
  std::string text;
  const auto line = [&](std::string_view name, std::string_view value) {
    text += fmt::format("{:<13} {}\n", name, value);
  };
  line("version", version_text());
  line("source id", source_id());
  line("compiler", fmt::format("{} ({})", KLMESH_COMPILER, KLMESH_BUILD_TYPE));
  line("mpi", mpi_library());
  line("backends", eval::has_device_backend() ? "cpu, cuda (eval)" : "cpu");
  for (const std::string& gpu : describe_gpus()) line("gpu", gpu);
  line("cpu threads", fmt::format("{}", std::thread::hardware_concurrency()));
  for (const auto& [host, ranks] : hosts) line("host", fmt::format("{} ({} ranks)", host, ranks));
  line("default mesh", to_string(mesh));
  write_out(stdout, text);
  return 0;
}

}  // namespace klmesh::cli
