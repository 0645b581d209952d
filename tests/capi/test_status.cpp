// Every class of error has its fixed number, and no exception passes.
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

#include "capi/status.hpp"

namespace klmesh::capi {
namespace {

template <typename E>
klmesh_status status_of(const E& error) {
  return guard([&] { throw error; });
}

TEST(Status, every_class_has_its_number) {
  EXPECT_EQ(guard([] {}), 0);
  EXPECT_EQ(status_of(InvalidArgument("x")), 1);
  EXPECT_EQ(status_of(InvalidData("x")), 2);
  EXPECT_EQ(status_of(InputNotFound("x")), 3);
  EXPECT_EQ(status_of(BackendUnavailable("x")), 4);
  EXPECT_EQ(status_of(IoError("x")), 5);
  EXPECT_EQ(status_of(Hdf5Error("x")), 6);
  EXPECT_EQ(status_of(CommunicationError("x")), 7);
  EXPECT_EQ(status_of(MpiError("x")), 8);
  EXPECT_EQ(status_of(DeadlineExceeded("x")), 9);
  EXPECT_EQ(status_of(std::bad_alloc()), 10);
  EXPECT_EQ(status_of(std::length_error("x")), 10);
  EXPECT_EQ(status_of(Error("x")), 11);
  EXPECT_EQ(status_of(std::runtime_error("x")), 11);
  EXPECT_EQ(status_of(42), 11);
}

TEST(Status, the_text_is_kept_and_a_long_one_is_cut) {
  status_of(InvalidData("row 7"));
  EXPECT_STREQ(klmesh_last_error(), "row 7");
  status_of(InvalidData(std::string(10000, 'x')));
  EXPECT_EQ(std::string(klmesh_last_error()), std::string(2047, 'x'));
}

}  // namespace
}  // namespace klmesh::capi
