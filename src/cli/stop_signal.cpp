#include "cli/stop_signal.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include "klmesh/error.hpp"

namespace klmesh::cli {
namespace {

volatile std::sig_atomic_t arrived = 0;

extern "C" void remember_stop_signal(int) { arrived = 1; }

}  // namespace

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = remember_stop_signal;
  action.sa_flags = SA_RESTART;  // a write to disk must not fail because of it
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGUSR1}) {
    if (sigaction(signal, &action, nullptr) != 0) throw Error(std::string("sigaction: ") + std::strerror(errno));
  }
}

bool stop_signal_arrived() noexcept { return arrived != 0; }

}  // namespace klmesh::cli
