// Argument checks that every communicator makes, worded once.
#pragma once

#include <fmt/format.h>

#include <cstddef>

#include "klmesh/error.hpp"

namespace klmesh::comm {

/// @throws InvalidArgument unless receive_bytes == ranks * send_bytes
inline void require_gather_sizes(std::size_t send_bytes, std::size_t receive_bytes, int ranks) {
  if (receive_bytes != send_bytes * static_cast<std::size_t>(ranks))
    throw InvalidArgument(fmt::format("all_gather: {} bytes from each of {} ranks do not make {} bytes",
                                      send_bytes, ranks, receive_bytes));
}

/// @throws InvalidArgument unless both are the same multiple of `ranks`
inline void require_exchange_sizes(std::size_t send_bytes, std::size_t receive_bytes, int ranks) {
  if (send_bytes != receive_bytes || send_bytes % static_cast<std::size_t>(ranks) != 0)
    throw InvalidArgument(
        fmt::format("all_to_all: {} bytes to send and {} to receive are not {} equal blocks each", send_bytes,
                    receive_bytes, ranks));
}

/// @throws InvalidArgument unless 0 <= root < ranks
inline void require_root(int root, int ranks) {
  if (root < 0 || root >= ranks)
    throw InvalidArgument(fmt::format("broadcast: there is no root {} in a group of {}", root, ranks));
}

}  // namespace klmesh::comm
