#include "io/probe.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "io/child_process.hpp"
#include "io/logits_file.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

// The program's exit codes, which follow sysexits.h.
constexpr int exit_data = 65, exit_no_input = 66, exit_internal = 70, exit_io = 74;
constexpr std::int64_t most_columns = 65536;  // a file may claim any number

void probe_side(const LogitsFile& file, Side side, std::int64_t row) {
  const std::int64_t columns = std::min({file.columns(side), file.columns_per_chunk(side), most_columns});
  std::vector<std::byte> out(static_cast<std::size_t>(columns) * element_bytes(file.type(side)));
  file.read_logits(side, row, 1, 0, columns, out.data());
  file.read_logits(side, row, 1, file.columns(side) - columns, columns, out.data());
}

void probe_row(const LogitsFile& file, std::int64_t row) {
  std::int64_t integer = 0;
  std::uint8_t mask = 0;
  file.require_whole_chunks(row);
  file.read_mask(row, {&mask, 1});
  if (file.has_targets()) file.read_targets(row, {&integer, 1});
  if (file.has_sequence()) file.read_sequence(row, {&integer, 1});
  for (const Side side : {Side::policy, Side::reference}) {
    double logp = 0;
    if (file.has_logits()) probe_side(file, side, row);
    if (file.has_logp()) file.read_logp(side, row, {&logp, 1}, {&mask, 1});
  }
}

void write_message(std::string_view message) {
  while (!message.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, message.data(), message.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody listens: the exit code is left
    message.remove_prefix(static_cast<std::size_t>(written));
  }
}

int report(int code, const std::exception& error) {
  write_message(error.what());
  return code;
}

}  // namespace

void probe_logits_file(const std::filesystem::path& path) {
  const LogitsFile file = LogitsFile::open(path);
  if (file.rows() == 0) return;
  probe_row(file, 0);
  probe_row(file, file.rows() - 1);
}

int probe_main(const std::filesystem::path& path) {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) < 0) errno = 0;  // then there is a core file, nothing worse
  try {
    probe_logits_file(path);
    return 0;
  } catch (const InvalidData& error) {
    return report(exit_data, error);
  } catch (const InputNotFound& error) {
    return report(exit_no_input, error);
  } catch (const IoError& error) {
    return report(exit_io, error);
  } catch (const std::exception& error) {
    return report(exit_internal, error);
  }
}

void probe_in_child(const std::string& program, const std::filesystem::path& path,
                    std::chrono::milliseconds timeout) {
  const ChildResult result = run_child({program, probe_option, path.string()}, timeout);
  if (result.end == ChildResult::End::timed_out)
    throw InvalidData(
        fmt::format("{}: hangs the HDF5 reader (no end after {} ms)", path.string(), timeout.count()));
  if (result.end == ChildResult::End::signalled)
    throw InvalidData(fmt::format("{}: crashes the HDF5 reader (signal {})", path.string(), result.code));
  switch (result.code) {
    case 0:
      return;
    case exit_data:
      throw InvalidData(result.output);
    case exit_no_input:
      throw InputNotFound(result.output);
    case exit_io:
      throw IoError(result.output);
    default:
      throw IoError(fmt::format("{}: cannot be checked, {} {} exited with {}: {}", path.string(), program,
                                probe_option, result.code, result.output));
  }
}

}  // namespace klmesh::io
