#include "cli/rank_zero.hpp"

#include <array>
#include <cstdint>
#include <span>

#include "cli/exit_code.hpp"

namespace klmesh::cli {

std::string on_rank_zero(Communicator& world, const std::function<std::string()>& make) {
  Failure outcome{ExitCode::ok, {}};  // the message is the result
  if (world.rank() == 0) {
    try {
      outcome.message = make();
    } catch (...) {
      outcome = failure_of(std::current_exception());
    }
  }
  std::array<std::int64_t, 2> head{static_cast<std::int64_t>(outcome.code),
                                   static_cast<std::int64_t>(outcome.message.size())};
  world.broadcast(std::as_writable_bytes(std::span(head)), 0);
  outcome.code = static_cast<ExitCode>(head[0]);
  outcome.message.resize(static_cast<std::size_t>(head[1]));
  world.broadcast(std::as_writable_bytes(std::span(outcome.message)), 0);
  if (outcome.code != ExitCode::ok) throw_failure(outcome);
  return outcome.message;
}

}  // namespace klmesh::cli
