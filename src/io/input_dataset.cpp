#include "io/input_dataset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "io/chunk_cache.hpp"
#include "io/input_error.hpp"

namespace klmesh::io {
namespace {

constexpr std::uint64_t largest_size = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t largest_chunk_bytes = std::numeric_limits<std::uint32_t>::max();

Handle open_dataset(const InputFile& file, const std::string& name, hid_t access) {
  return Handle::adopt(H5Dopen2(file.handle.get(), name.c_str(), access), "H5Dopen2", H5Dclose);
}

Handle creation_properties(hid_t dataset) {
  return Handle::adopt(H5Dget_create_plist(dataset), "H5Dget_create_plist", H5Pclose);
}

// Anything but a hard link may lead out of the file; anything but a dataset is not opened.
void require_hard_link_to_dataset(const InputFile& file, const std::string& name, std::string_view place) {
  H5L_info_t link;
  check(H5Lget_info(file.handle.get(), name.c_str(), &link, H5P_DEFAULT), "H5Lget_info");
  if (link.type != H5L_TYPE_HARD) refuse(place, "is a soft or external link");
  H5O_info_t object;
  check(H5Oget_info_by_name2(file.handle.get(), name.c_str(), &object, H5O_INFO_BASIC, H5P_DEFAULT),
        "H5Oget_info_by_name2");
  if (object.type != H5O_TYPE_DATASET) refuse(place, "is not a dataset");
}

void require_known_filters(hid_t properties, std::string_view place) {
  const int filters = check(H5Pget_nfilters(properties), "H5Pget_nfilters");
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0, config = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter = check(
        H5Pget_filter2(properties, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, &config),
        "H5Pget_filter2");
    const bool known =
        filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_FLETCHER32;
    // The second question alone would look for plug-ins and run them.
    if (!known || check(H5Zfilter_avail(filter), "H5Zfilter_avail") == 0)
      refuse(place, fmt::format("needs filter {}; only gzip, shuffle and fletcher32 are read", filter));
  }
}

// HDF5 leaves the caller's memory as it was for what was never written, if the file says "never fill".
void require_written(hid_t dataset, hid_t properties, std::string_view place) {
  H5D_fill_time_t fill = H5D_FILL_TIME_ERROR;
  check(H5Pget_fill_time(properties, &fill), "H5Pget_fill_time");
  if (fill != H5D_FILL_TIME_NEVER) return;
  H5D_space_status_t status = H5D_SPACE_STATUS_ERROR;
  check(H5Dget_space_status(dataset, &status), "H5Dget_space_status");
  if (status != H5D_SPACE_STATUS_ALLOCATED) refuse(place, "was created but not completely written");
}

}  // namespace

bool has_link(const InputFile& file, const std::string& name) {
  const SilentErrors silent;
  return reading(file.path, [&] {
    return check(H5Lexists(file.handle.get(), name.c_str(), H5P_DEFAULT), "H5Lexists") > 0;
  });
}

InputDataset InputDataset::open(const InputFile& file, const std::string& name, int rank) {
  const SilentErrors silent;
  InputDataset result;
  result.place_ = dataset_place(file.path, name);
  result.rank_ = rank;
  reading(result.place_, [&] {
    require_hard_link_to_dataset(file, name, result.place_);
    result.dataset_ = open_dataset(file, name, H5P_DEFAULT);
    result.require_safe_storage();
    result.type_ = Handle::adopt(H5Dget_type(result.id()), "H5Dget_type", H5Tclose);
    result.set_extent(rank);
    if (result.rows() != 0)
      require_written(result.id(), creation_properties(result.id()).get(), result.place_);
    result.set_chunk(rank);
    if (!result.chunk_) return;
    // The cache is a matter of opening, its size one of what is inside.
    const auto [slots, bytes] =
        chunk_cache(result.columns(), *result.chunk_, H5Tget_size(result.type_.get()));
    result.dataset_.close();
    const Handle access = Handle::adopt(H5Pcreate(H5P_DATASET_ACCESS), "H5Pcreate", H5Pclose);
    // HDF5's default. With 1, chunks that were read in part are never evicted: the cache grows without bound.
    constexpr double preference_for_evicting_what_was_read = 0.75;
    check(H5Pset_chunk_cache(access.get(), slots, bytes, preference_for_evicting_what_was_read),
          "H5Pset_chunk_cache");
    result.dataset_ = open_dataset(file, name, access.get());
  });
  return result;
}

// Asked before the shape: for a virtual dataset that would open other files.
void InputDataset::require_safe_storage() const {
  const Handle properties = creation_properties(id());
  const H5D_layout_t layout = check(H5Pget_layout(properties.get()), "H5Pget_layout");
  if (layout == H5D_VIRTUAL) refuse(place_, "is a virtual dataset");
  if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED)
    refuse(place_, "has an unknown storage layout");
  if (check(H5Pget_external_count(properties.get()), "H5Pget_external_count") > 0)
    refuse(place_, "has its data in an external file");
  require_known_filters(properties.get(), place_);
}

void InputDataset::set_extent(int rank) {
  const Handle space = Handle::adopt(H5Dget_space(id()), "H5Dget_space", H5Sclose);
  const int own_rank = check(H5Sget_simple_extent_ndims(space.get()), "H5Sget_simple_extent_ndims");
  if (own_rank != rank) refuse(place_, fmt::format("has {} dimensions, must have {}", own_rank, rank));
  std::array<hsize_t, 2> extent{0, 1};
  check(H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr), "H5Sget_simple_extent_dims");
  if (extent[1] == 0) refuse(place_, "has no columns");
  const std::size_t bytes = std::max<std::size_t>(1, H5Tget_size(type_.get()));
  if (extent[1] > largest_size / bytes || extent[0] > largest_size / bytes / extent[1])
    refuse(place_, fmt::format("is too large: {} times {} elements", extent[0], extent[1]));
  extent_ = {static_cast<std::int64_t>(extent[0]), static_cast<std::int64_t>(extent[1])};
}

void InputDataset::set_chunk(int rank) {
  const Handle properties = creation_properties(id());
  if (check(H5Pget_layout(properties.get()), "H5Pget_layout") != H5D_CHUNKED) return;
  std::array<hsize_t, 2> chunk{1, 1};
  const int chunk_rank = check(H5Pget_chunk(properties.get(), rank, chunk.data()), "H5Pget_chunk");
  const std::uint64_t room = largest_chunk_bytes / std::max<std::size_t>(1, H5Tget_size(type_.get()));
  if (chunk_rank != rank || chunk[0] == 0 || chunk[1] == 0 || chunk[1] > room || chunk[0] > room / chunk[1])
    refuse(place_, fmt::format("has chunks of {} times {} elements", chunk[0], chunk[1]));
  chunk_ = {static_cast<std::int64_t>(chunk[0]), static_cast<std::int64_t>(chunk[1])};
}

std::array<std::int64_t, 2> InputDataset::chunk() const noexcept {
  return chunk_.value_or(std::array<std::int64_t, 2>{1, columns()});
}

void InputDataset::read(std::array<std::int64_t, 2> first, std::array<std::int64_t, 2> count,
                        hid_t memory_type, void* out) const {
  std::array<hsize_t, 2> start{}, size{};
  for (std::size_t i = 0; i < 2; ++i) {
    if (first[i] < 0 || count[i] < 0 || first[i] > extent_[i] || count[i] > extent_[i] - first[i])
      throw InvalidArgument(fmt::format("{}: no {} elements from {} on along dimension {} of {}", place_,
                                        count[i], first[i], i, extent_[i]));
    start[i] = static_cast<hsize_t>(first[i]);
    size[i] = static_cast<hsize_t>(count[i]);
  }
  if (count[0] == 0 || count[1] == 0) return;
  const SilentErrors silent;
  reading(place_, [&] {
    const Handle file_space = Handle::adopt(H5Dget_space(id()), "H5Dget_space", H5Sclose);
    check(H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr),
          "H5Sselect_hyperslab");
    const Handle memory_space =
        Handle::adopt(H5Screate_simple(rank_, size.data(), nullptr), "H5Screate_simple", H5Sclose);
    check(H5Dread(id(), memory_type, memory_space.get(), file_space.get(), H5P_DEFAULT, out), "H5Dread");
  });
}

}  // namespace klmesh::io
