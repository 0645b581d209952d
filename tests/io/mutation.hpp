// Damages the bytes of a file, the same way for the same seed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace klmesh::io {

/// Applies one to four damages to one of the files.
class Mutator {
 public:
  Mutator(std::vector<std::string> files, std::uint64_t seed) : files_(std::move(files)), random_(seed) {}

  std::string next() {
    std::string bytes = any(files_);
    for (std::size_t i = 0, n = 1 + below(4); i < n && !bytes.empty(); ++i) damage(bytes);
    return bytes;
  }

 private:
  // Not std::uniform_int_distribution: its results differ between libraries.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }
  const std::string& any(const std::vector<std::string>& files) { return files[below(files.size())]; }

  void damage(std::string& bytes) {
    switch (below(6)) {
      case 0:
        return flip_bit(bytes);
      case 1:
        return set_number(bytes);
      case 2:
        return bytes.resize(below(bytes.size() + 1));
      case 3:
        return swap_blocks(bytes);
      case 4:
        return splice(bytes);
      default:
        return zero_block(bytes);
    }
  }

  void flip_bit(std::string& bytes) {
    char& byte = bytes[below(bytes.size())];
    byte = static_cast<char>(byte ^ (1 << below(8)));
  }

  // Sizes and addresses at the ends of their ranges find more than noise does.
  void set_number(std::string& bytes) {
    static constexpr std::uint64_t numbers[] = {0,      1,          0x7F,       0xFF,
                                                0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, ~std::uint64_t{0}};
    const std::uint64_t number = numbers[below(std::size(numbers))];
    const std::size_t at = below(bytes.size()),
                      width = std::min(std::size_t{1} << below(4), bytes.size() - at);
    for (std::size_t i = 0; i < width; ++i) bytes[at + i] = static_cast<char>(number >> (8 * i));
  }

  void swap_blocks(std::string& bytes) {
    const std::size_t size = std::min<std::size_t>(1 + below(64), bytes.size());
    const std::size_t a = below(bytes.size() - size + 1), b = below(bytes.size() - size + 1);
    for (std::size_t i = 0; i < size; ++i) std::swap(bytes[a + i], bytes[b + i]);
  }

  void splice(std::string& bytes) {
    const std::string& other = any(files_);
    const std::size_t from = below(other.size()), size = std::min(1 + below(256), other.size() - from);
    bytes.replace(below(bytes.size()), size, other, from, size);
  }

  void zero_block(std::string& bytes) {
    const std::size_t from = below(bytes.size()), size = std::min(1 + below(64), bytes.size() - from);
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(from), size, '\0');
  }

  std::vector<std::string> files_;
  std::mt19937_64 random_;
};

}  // namespace klmesh::io
