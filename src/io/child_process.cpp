#include "io/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <source_location>
#include <string_view>
#include <thread>
#include <utility>

#include "io/open_file.hpp"

extern char** environ;

namespace klmesh::io {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t longest_output_bytes = 64 << 10;

// Calls that return an errno value, for `program`.
void check_spawn(int error, std::string_view call, const std::string& program,
                 std::source_location where = std::source_location::current()) {
  if (error != 0) throw_io_error(error, call, program, where);
}

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }
  void close() {
    if (::close(std::exchange(descriptor_, -1)) < 0 && errno != EINTR) throw_io_error(errno, "close", "pipe");
  }

 private:
  int descriptor_ = -1;
};

class FileActions {
 public:
  explicit FileActions(const std::string& program) {
    check_spawn(posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init", program);
  }
  FileActions(const FileActions&) = delete;
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class Attributes {
 public:
  explicit Attributes(const std::string& program) {
    check_spawn(posix_spawnattr_init(&attributes_), "posix_spawnattr_init", program);
  }
  Attributes(const Attributes&) = delete;
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

void set_standard_streams(FileActions& actions, int output, const std::string& program) {
  check_spawn(posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0),
              "posix_spawn_file_actions_addopen", program);
  check_spawn(posix_spawn_file_actions_adddup2(actions.get(), output, STDOUT_FILENO),
              "posix_spawn_file_actions_adddup2", program);
  check_spawn(posix_spawn_file_actions_addopen(actions.get(), STDERR_FILENO, "/dev/null", O_WRONLY, 0),
              "posix_spawn_file_actions_addopen", program);
}

void set_default_signals(Attributes& attributes, const std::string& program) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  check_spawn(posix_spawnattr_setsigmask(attributes.get(), &none), "posix_spawnattr_setsigmask", program);
  check_spawn(posix_spawnattr_setsigdefault(attributes.get(), &all), "posix_spawnattr_setsigdefault",
              program);
  check_spawn(posix_spawnattr_setflags(attributes.get(), POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
              "posix_spawnattr_setflags", program);
}

pid_t spawn(const std::vector<std::string>& command, int output) {
  const std::string& program = command.at(0);
  FileActions actions(program);
  Attributes attributes(program);
  set_standard_streams(actions, output, program);
  set_default_signals(attributes, program);
  std::vector<char*> arguments;
  // The interface is older than const.
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t child = -1;
  check_spawn(
      posix_spawnp(&child, program.c_str(), actions.get(), attributes.get(), arguments.data(), environ),
      "posix_spawnp", program);
  return child;
}

int milliseconds_to(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
}

// Until the child closes its end. @return false if the deadline passes first
bool read_output(int descriptor, Clock::time_point deadline, std::string& output) {
  std::array<char, 4096> buffer;
  while (Clock::now() < deadline) {
    pollfd event{descriptor, POLLIN, 0};
    const int ready = ::poll(&event, 1, milliseconds_to(deadline));
    if (ready < 0 && errno != EINTR) throw_io_error(errno, "poll", "pipe");
    if (ready <= 0) continue;
    const ssize_t bytes = ::read(descriptor, buffer.data(), buffer.size());
    if (bytes < 0 && errno != EINTR) throw_io_error(errno, "read", "pipe");
    if (bytes == 0) return true;
    const std::size_t room = longest_output_bytes - output.size();
    if (bytes > 0) output.append(buffer.data(), std::min(room, static_cast<std::size_t>(bytes)));
  }
  return false;
}

// @return false if the deadline passes first
bool reap(pid_t child, Clock::time_point deadline, int& status) {
  for (;;) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return true;
    if (ended < 0 && errno != EINTR) throw_io_error(errno, "waitpid", "child process");
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
}

// A child that hangs inside the kernel, on a dead file server, is left to its fate.
void kill_and_reap(pid_t child) {
  int status = 0;
  if (::kill(child, SIGKILL) < 0) throw_io_error(errno, "kill", "child process");
  reap(child, Clock::now() + std::chrono::seconds(2), status);
}

}  // namespace

ChildResult run_child(const std::vector<std::string>& command, milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) throw_io_error(errno, "pipe2", command.at(0));
  Descriptor mine(ends[0]), theirs(ends[1]);
  const pid_t child = spawn(command, theirs.get());
  ChildResult result;
  int status = 0;
  try {
    theirs.close();
    if (!read_output(mine.get(), deadline, result.output) || !reap(child, deadline, status)) {
      kill_and_reap(child);
      result.end = ChildResult::End::timed_out;
      return result;
    }
    mine.close();
  } catch (...) {
    ::kill(child, SIGKILL);
    throw;
  }
  result.end = WIFSIGNALED(status) ? ChildResult::End::signalled : ChildResult::End::exited;
  result.code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

}  // namespace klmesh::io
