// A thread that watches and is otherwise not there.
#pragma once

#include <csignal>
#include <thread>
#include <utility>

namespace klmesh::cli {

/// Starts `work(std::stop_token)` on a thread that takes no signals: handlers and interrupted system calls stay with
/// the threads that expect them.
template <class Work>
std::jthread quiet_thread(Work&& work) {
  sigset_t all, before;
  sigfillset(&all);
  const bool masked = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;  // inherited by the new thread
  std::jthread thread(std::forward<Work>(work));
  if (masked && pthread_sigmask(SIG_SETMASK, &before, nullptr) != 0) std::terminate();  // no caller could go on
  return thread;
}

}  // namespace klmesh::cli
