#include "io/chunk_check.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "io/input_error.hpp"

namespace klmesh::io {
namespace {

constexpr std::uint64_t checksum_bytes = 4;  // what fletcher32 appends

/// What the filters of a dataset do to the size of a chunk.
struct Pipeline {
  bool is_deflated = false;
  std::uint64_t before = 0;  // bytes added before deflating
  std::uint64_t after = 0;   // and after it
};

// @param skipped bit i: filter i was not applied to this chunk
Pipeline pipeline_of(hid_t properties, std::uint32_t skipped) {
  Pipeline result;
  const int filters = check(H5Pget_nfilters(properties), "H5Pget_nfilters");
  for (int i = 0; i < filters; ++i) {
    if (((skipped >> i) & 1U) != 0) continue;
    unsigned flags = 0, config = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter = check(
        H5Pget_filter2(properties, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, &config),
        "H5Pget_filter2");
    if (filter == H5Z_FILTER_DEFLATE) result.is_deflated = true;
    if (filter == H5Z_FILTER_FLETCHER32)
      (result.is_deflated ? result.after : result.before) += checksum_bytes;
  }
  return result;
}

/// Bytes that `data` inflates to, or more than `most` if it is more than that; 0 if it is no whole zlib
/// stream.
std::uint64_t inflated_bytes(const std::vector<Bytef>& data, std::uint64_t most) {
  z_stream stream{};
  stream.next_in = const_cast<Bytef*>(data.data());  // read only, but the interface is older than const
  stream.avail_in = static_cast<uInt>(data.size());
  if (inflateInit(&stream) != Z_OK) throw IoError("zlib cannot start");
  std::array<Bytef, 1 << 14> thrown_away;
  std::uint64_t total = 0;
  int status = Z_OK;
  while (status == Z_OK && total <= most) {
    stream.next_out = thrown_away.data();
    stream.avail_out = static_cast<uInt>(thrown_away.size());
    status = inflate(&stream, Z_NO_FLUSH);
    total += thrown_away.size() - stream.avail_out;
  }
  inflateEnd(&stream);
  return status == Z_STREAM_END || total > most ? total : 0;
}

void require_bytes(std::uint64_t bytes, std::uint64_t expected, std::string_view place, std::int64_t row,
                   std::int64_t column) {
  if (bytes != expected)
    refuse(place, fmt::format("corrupt: the chunk of row {}, column {} does not hold {} bytes", row, column,
                              expected));
}

}  // namespace

void require_whole_chunk(const InputDataset& dataset, std::int64_t row, std::int64_t column) {
  const SilentErrors silent;
  reading(dataset.place(), [&] {
    const Handle properties =
        Handle::adopt(H5Dget_create_plist(dataset.id()), "H5Dget_create_plist", H5Pclose);
    if (check(H5Pget_nfilters(properties.get()), "H5Pget_nfilters") == 0) return;
    const auto [chunk_rows, chunk_columns] = dataset.chunk();
    const std::array<hsize_t, 2> offset{static_cast<hsize_t>(row - row % chunk_rows),
                                        static_cast<hsize_t>(column - column % chunk_columns)};
    hsize_t stored = 0;
    // Without any chunk at all, asking for one is an error.
    if (H5Dget_storage_size(dataset.id()) == 0) return;
    check(H5Dget_chunk_storage_size(dataset.id(), offset.data(), &stored), "H5Dget_chunk_storage_size");
    if (stored == 0) return;
    const std::uint64_t chunk_bytes =
        static_cast<std::uint64_t>(chunk_rows * chunk_columns) * H5Tget_size(dataset.type());
    // No packed chunk is larger: zlib's own bound, and a checksum or two. So a file cannot claim our memory.
    if (stored > chunk_bytes + chunk_bytes / 64 + 1024)
      require_bytes(stored, chunk_bytes, dataset.place(), row, column);
    std::vector<Bytef> data(stored);
    std::uint32_t skipped = 0;
    check(H5Dread_chunk(dataset.id(), H5P_DEFAULT, offset.data(), &skipped, data.data()), "H5Dread_chunk");
    const Pipeline pipeline = pipeline_of(properties.get(), skipped);
    const std::uint64_t packed = chunk_bytes + pipeline.before;
    const std::uint64_t found = pipeline.is_deflated ? inflated_bytes(data, packed) : stored - pipeline.after;
    require_bytes(found, packed, dataset.place(), row, column);
  });
}

}  // namespace klmesh::io
