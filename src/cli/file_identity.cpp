#include "cli/file_identity.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "comm/agreement.hpp"

namespace klmesh::cli {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::int64_t kWholeBytes = 32 * kMiB;
constexpr std::int64_t kPieces = 480;
constexpr std::int64_t kPieceBytes = 64 << 10;

// A descriptor that is only read from: nothing can be lost at its end.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Reader() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  bool open() const noexcept { return descriptor_ >= 0; }
  bool stat(struct stat& status) const noexcept { return ::fstat(descriptor_, &status) == 0; }

  /// Adds bytes [begin, begin + count) to the hash; false and errno if they cannot be read.
  bool hash(Fingerprint& fingerprint, std::int64_t begin, std::int64_t count) {
    buffer_.resize(static_cast<std::size_t>(kMiB));
    while (count > 0) {
      const auto most = static_cast<std::size_t>(std::min(count, kMiB));
      const ssize_t bytes = ::pread(descriptor_, buffer_.data(), most, begin);
      if (bytes < 0 && errno == EINTR) continue;
      if (bytes < 0) return false;
      if (bytes == 0) return true;  // it has become shorter
      fingerprint.add(std::string_view(buffer_.data(), static_cast<std::size_t>(bytes)));
      begin += bytes;
      count -= bytes;
    }
    return true;
  }

 private:
  int descriptor_;
  std::vector<char> buffer_;
};

bool hash_contents(Reader& reader, std::int64_t bytes, Fingerprint& fingerprint) {
  if (bytes <= kWholeBytes) return reader.hash(fingerprint, 0, bytes);
  bool read = reader.hash(fingerprint, 0, kMiB) && reader.hash(fingerprint, bytes - kMiB, kMiB);
  for (std::int64_t piece = 0; piece < kPieces && read; ++piece) {
    const std::int64_t begin = (bytes - kPieceBytes) / kPieces * piece;
    read = reader.hash(fingerprint, begin, kPieceBytes);
  }
  return read;
}

std::string unreadable(int error) { return fmt::format("cannot be read: {}", std::strerror(error)); }

}  // namespace

std::string file_identity(const std::filesystem::path& path) {
  Reader reader(path);
  struct stat status {};
  if (!reader.open() || !reader.stat(status)) return unreadable(errno);
  if (!S_ISREG(status.st_mode)) return "not a regular file";
  Fingerprint fingerprint;
  if (!hash_contents(reader, status.st_size, fingerprint)) return unreadable(errno);
  return fmt::format("{} bytes, contents {:016x}", static_cast<std::int64_t>(status.st_size), fingerprint.value());
}

}  // namespace klmesh::cli
