#include "io/hdf5_handle.hpp"

#include <gmock/gmock.h>

#include <utility>

#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Handle scalar_space() { return Handle::adopt(H5Screate(H5S_SCALAR), "H5Screate", H5Sclose); }
bool is_open(hid_t id) { return H5Iis_valid(id) > 0; }

TEST(Hdf5Handle, ClosesAtTheEndOfItsScope) {
  hid_t id = H5I_INVALID_HID;
  {
    const Handle space = scalar_space();
    id = space.get();
    EXPECT_TRUE(is_open(id));
  }
  EXPECT_FALSE(is_open(id));
}

TEST(Hdf5Handle, MoveTransfersOwnership) {
  Handle first = scalar_space();
  const hid_t id = first.get();
  Handle second = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_EQ(second.get(), id);
  second.close();
  EXPECT_FALSE(is_open(id));
}

TEST(Hdf5Handle, AssignmentClosesWhatWasHeld) {
  Handle target = scalar_space(), source = scalar_space();
  const hid_t old_id = target.get(), new_id = source.get();
  target = std::move(source);
  EXPECT_FALSE(is_open(old_id));
  EXPECT_TRUE(is_open(new_id));
  EXPECT_EQ(target.get(), new_id);
}

TEST(Hdf5Handle, ReleaseLeavesItOpen) {
  hid_t id = H5I_INVALID_HID;
  {
    Handle space = scalar_space();
    id = space.release();
  }
  ASSERT_TRUE(is_open(id));
  EXPECT_GE(H5Sclose(id), 0);
}

TEST(Hdf5Handle, CloseReportsAFailureOnceAndIsEmptyThen) {
  Handle space = scalar_space();
  ASSERT_GE(H5Sclose(space.get()), 0);  // behind its back
  EXPECT_THROW(space.close(), Hdf5Error);
  EXPECT_FALSE(space);
  EXPECT_NO_THROW(space.close());
}

TEST(Hdf5Handle, ErrorsCarryTheCallTheStackAndThePlace) {
  const SilentErrors silent;
  try {
    Handle::adopt(H5Fopen("/no/such/file.h5", H5F_ACC_RDONLY, H5P_DEFAULT), "H5Fopen", H5Fclose);
    FAIL() << "no error";
  } catch (const Hdf5Error& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("H5Fopen failed"), HasSubstr("/no/such/file.h5"),
                      HasSubstr("No such file or directory"), HasSubstr("hdf5_handle_test.cpp:")));
  }
}

TEST(Hdf5Handle, ErrorsAreNotPrintedWhileSilentAndAreAgainAfterwards) {
  testing::internal::CaptureStderr();
  {
    const SilentErrors silent;
    EXPECT_LT(H5Fopen("/no/such/file.h5", H5F_ACC_RDONLY, H5P_DEFAULT), 0);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  EXPECT_LT(H5Fopen("/no/such/file.h5", H5F_ACC_RDONLY, H5P_DEFAULT), 0);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("HDF5-DIAG"));
}

}  // namespace
}  // namespace klmesh::io
