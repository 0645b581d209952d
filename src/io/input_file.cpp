#include "io/input_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "io/input_error.hpp"
#include "io/open_file.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

bool means_not_found(int error) {
  return error == ENOENT || error == ENOTDIR || error == EACCES || error == EPERM || error == ELOOP ||
         error == ENAMETOOLONG;
}

[[noreturn]] void throw_not_found(const std::filesystem::path& path, std::string_view why) {
  throw InputNotFound(fmt::format("{}: {}", path.string(), why));
}

// HDF5 says "unable to open file" for all of these.
void require_readable_file(const std::filesystem::path& path) {
  struct stat status {};
  const int result = ::stat(path.c_str(), &status);
  if (result < 0 && means_not_found(errno)) throw_not_found(path, std::generic_category().message(errno));
  if (result < 0) throw_io_error(errno, "stat", path);
  if (S_ISDIR(status.st_mode)) throw_not_found(path, "is a directory");
  if (!S_ISREG(status.st_mode)) throw_not_found(path, "is not a regular file");
  if (::access(path.c_str(), R_OK) < 0) throw_not_found(path, std::generic_category().message(errno));
}

Handle access_properties() {
  Handle properties = Handle::adopt(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate", H5Pclose);
  check(H5Pset_fapl_sec2(properties.get()), "H5Pset_fapl_sec2");
  check(H5Pset_fclose_degree(properties.get(), H5F_CLOSE_STRONG), "H5Pset_fclose_degree");
#if H5_VERSION_GE(1, 10, 7)
  // A file system without locks is common on clusters, and no reason not to read.
  check(H5Pset_file_locking(properties.get(), true, true), "H5Pset_file_locking");
#endif
  return properties;
}

Handle open_hdf5(const std::string& path) {
  if (check(H5Fis_hdf5(path.c_str()), "H5Fis_hdf5") == 0) refuse(path, "is not an HDF5 file");
  Handle access = access_properties();
  Handle file = Handle::adopt(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), "H5Fopen", H5Fclose);
  access.close();
  return file;
}

}  // namespace

InputFile open_input_file(const std::filesystem::path& path) {
  require_readable_file(path);
  const SilentErrors silent;
  return {path.string(), reading(path.string(), [&] { return open_hdf5(path.string()); })};
}

}  // namespace klmesh::io
