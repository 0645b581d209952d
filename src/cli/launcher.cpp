#include "cli/launcher.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "cli/quiet_thread.hpp"

namespace klmesh::cli {
namespace {

constexpr std::array<std::string_view, 12> kLaunchers{"mpirun", "mpiexec", "orterun",  "orted",        "prterun",       "prted",
                                                      "prte",   "hydra_pmi_proxy", "slurmstepd", "srun", "mpiexec.hydra", "palsd"};

struct Process {
  pid_t parent = 0;
  std::string name;
};

// The name stands in parentheses and may hold any character, parentheses too.
std::optional<Process> read_process(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto open = text.find('('), close = text.rfind(')');
  if (open == text.npos || close == text.npos || close < open) return std::nullopt;
  Process process;
  process.name = text.substr(open + 1, close - open - 1);
  std::istringstream rest(text.substr(close + 1));
  char state = 0;
  if (!(rest >> state >> process.parent)) return std::nullopt;
  return process;
}

bool is_mpirun(const std::string& name) {
  return name == "mpirun" || name == "mpiexec" || name == "orterun" || name == "prterun";
}

bool is_launcher(const std::string& name) { return std::ranges::find(kLaunchers, name) != kLaunchers.end(); }

// The nearest ancestor for which `wanted(name)` is true; 0: none.
template <class Wanted>
pid_t find_ancestor(Wanted wanted) {
  for (pid_t pid = ::getppid(); pid > 0;) {
    const std::optional<Process> process = read_process(pid);
    if (!process) break;
    if (wanted(process->name)) return pid;
    pid = process->parent;
  }
  return 0;
}

// Wrappers (sh, timeout, numactl) may stand between; without a known name, it is the parent. 0: nobody to watch.
pid_t find_launcher() {
  if (const pid_t launcher = find_ancestor(is_launcher); launcher > 0) return launcher;
  const pid_t parent = ::getppid();
  return parent > 1 ? parent : 0;
}

int open_process(pid_t pid) noexcept {
#ifdef SYS_pidfd_open
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
#else
  static_cast<void>(pid);
  return -1;
#endif
}

bool ends_within(int process, std::chrono::milliseconds patience) noexcept {
  pollfd entry{process, POLLIN, 0};
  return ::poll(&entry, 1, static_cast<int>(patience.count())) > 0;
}

// In a child of a process with threads: system calls alone.
[[noreturn]] void end_process(int process, std::chrono::milliseconds patience) noexcept {
  ::setsid();  // or it would be killed with the rank
  for (int descriptor = 0; descriptor < 1024; ++descriptor) {
    if (descriptor != process) ::close(descriptor);  // the launcher waits for the end of its ranks' output
  }
  if (!ends_within(process, patience)) ::syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0);
  ::_exit(0);
}

// A process descriptor becomes readable when the process ends.
void wait_for_end(const std::stop_token& stop, int process, const std::function<void()>& gone) {
  constexpr int interval_ms = 100;  // between looks at `stop`
  pollfd entry{process, POLLIN, 0};
  int ready = 0;
  while (!stop.stop_requested() && (ready == 0 || (ready < 0 && errno == EINTR))) ready = ::poll(&entry, 1, interval_ms);
  ::close(process);  // nothing was written
  if (ready > 0) gone();
}

}  // namespace

std::optional<int> rank_of_launcher() noexcept {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    if (const char* value = std::getenv(name); value != nullptr) return std::atoi(value);
  }
  return std::nullopt;
}

int launched_rank() noexcept { return rank_of_launcher().value_or(0); }

void end_launcher_after(std::chrono::milliseconds patience) noexcept {
  const pid_t launcher = find_ancestor(is_mpirun);
  const int process = launcher > 0 ? open_process(launcher) : -1;
  if (process < 0) return;
  if (::fork() == 0) end_process(process, patience);
  ::close(process);
}

LauncherWatch::LauncherWatch(std::function<void()> gone) {
  if (!rank_of_launcher()) return;
  const pid_t launcher = find_launcher();
  const int process = launcher > 0 ? open_process(launcher) : -1;
  if (process < 0) return;
  thread_ = quiet_thread(
      [process, gone = std::move(gone)](const std::stop_token& stop) { wait_for_end(stop, process, gone); });
}

}  // namespace klmesh::cli
