// What rank 0 knows, told to a group, where the size is not known beforehand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "klmesh/communicator.hpp"

namespace klmesh::loop {

/// Rank 0's words, on every rank of `group`; what others pass is not looked at. Two broadcasts.
inline std::vector<std::int64_t> broadcast_words(Communicator& group, std::vector<std::int64_t> words) {
  auto size = static_cast<std::int64_t>(words.size());
  group.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0);
  words.resize(static_cast<std::size_t>(size));
  group.broadcast(std::as_writable_bytes(std::span(words)), 0);
  return words;
}

/// The same for text.
inline std::string broadcast_text(Communicator& group, std::string text) {
  auto size = static_cast<std::int64_t>(text.size());
  group.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0);
  text.resize(static_cast<std::size_t>(size));
  group.broadcast(std::as_writable_bytes(std::span(text)), 0);
  return text;
}

}  // namespace klmesh::loop
