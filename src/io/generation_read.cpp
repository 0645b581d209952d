// The reading half of generations: nothing is trusted before its hash fits.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>

#include "io/generation.hpp"
#include "io/input_error.hpp"
#include "io/open_file.hpp"
#include "io/sha256.hpp"

namespace klmesh::io {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t max_manifest_bytes = 1 << 24;

// A descriptor for reading, closed in every case.
class InputDescriptor {
 public:
  explicit InputDescriptor(const fs::path& path) : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ >= 0) return;
    if (errno == ENOENT || errno == ENOTDIR || errno == EACCES) {
      throw InputNotFound(fmt::format("{}: {}", path.string(), std::generic_category().message(errno)));
    }
    throw_io_error(errno, "open", path);
  }
  InputDescriptor(const InputDescriptor&) = delete;
  InputDescriptor& operator=(const InputDescriptor&) = delete;
  ~InputDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);  // nothing was written: no failure matters
  }

  std::int64_t size() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) < 0) throw_io_error(errno, "fstat", path_);
    if (!S_ISREG(status.st_mode)) refuse(path_.string(), "is not a regular file");
    return status.st_size;
  }

  std::vector<std::byte> read(std::int64_t bytes) const {
    std::vector<std::byte> content(static_cast<std::size_t>(bytes));
    for (std::size_t done = 0; done < content.size();) {
      const ssize_t n = ::read(descriptor_, content.data() + done, content.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw_io_error(errno, "read", path_);
      if (n == 0) refuse(path_.string(), fmt::format("ends after {} of {} bytes", done, bytes));
      done += static_cast<std::size_t>(n);
    }
    return content;
  }

 private:
  const fs::path& path_;
  int descriptor_;
};

}  // namespace

Manifest read_manifest(const fs::path& generation) {
  const fs::path path = generation / "MANIFEST";
  const InputDescriptor file(path);
  const std::int64_t bytes = file.size();
  if (bytes > max_manifest_bytes) refuse(path.string(), fmt::format("damaged: it has {} bytes", bytes));
  const std::vector<std::byte> content = file.read(bytes);
  return parse_manifest({reinterpret_cast<const char*>(content.data()), content.size()}, path.string());
}

std::vector<std::byte> read_state_file(const fs::path& generation, const StateFileEntry& entry) {
  const fs::path path = generation / entry.name;
  const InputDescriptor file(path);
  const std::int64_t bytes = file.size();
  if (bytes != entry.bytes) {
    refuse(path.string(), fmt::format("damaged: it has {} bytes, its manifest says {}", bytes, entry.bytes));
  }
  std::vector<std::byte> content = file.read(bytes);
  if (sha256_hex(content) != entry.sha256) refuse(path.string(), "damaged: its SHA-256 is not that of its manifest");
  return content;
}

}  // namespace klmesh::io
