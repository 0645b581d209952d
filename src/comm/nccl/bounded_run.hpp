// Work that may never come back, and who cannot wait for it that long.
#pragma once

#include <chrono>
#include <exception>
#include <future>
#include <thread>
#include <utility>

namespace klmesh::comm {

/// Runs `work` on a thread of its own and waits for `patience` at most; after that the thread is left alone with it.
/// @param work owns all that it uses; what it throws is lost
template <typename Work>
void bounded_run(Work work, std::chrono::duration<double> patience) noexcept {
  try {
    std::packaged_task<void()> task(std::move(work));
    const std::future<void> done = task.get_future();
    std::thread(std::move(task)).detach();
    static_cast<void>(done.wait_for(patience));
  } catch (const std::exception&) {  // no thread, no memory: what the work would have ended stays as it is
  }
}

}  // namespace klmesh::comm
