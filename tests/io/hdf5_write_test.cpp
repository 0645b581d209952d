#include "io/hdf5_write.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "io/file_image.hpp"
#include "io/opened_image.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::ElementsAre;

template <typename T>
class Hdf5WriteElement : public testing::Test {};
using Elements = testing::Types<double, float, std::int32_t, std::int64_t, std::uint8_t>;
TYPED_TEST_SUITE(Hdf5WriteElement, Elements);

template <typename T>
hid_t file_type();
template <>
hid_t file_type<double>() {
  return H5T_IEEE_F64LE;
}
template <>
hid_t file_type<float>() {
  return H5T_IEEE_F32LE;
}
template <>
hid_t file_type<std::int32_t>() {
  return H5T_STD_I32LE;
}
template <>
hid_t file_type<std::int64_t>() {
  return H5T_STD_I64LE;
}
template <>
hid_t file_type<std::uint8_t>() {
  return H5T_STD_U8LE;
}

TYPED_TEST(Hdf5WriteElement, ReadsBack) {
  FileImage image;
  const std::vector<TypeParam> values{1, 2, 3, 4, 5, 60};
  write_dataset<TypeParam>(image.root(), "line", values).close();
  write_dataset<TypeParam>(image.root(), "table", values, {2, 3}).close();
  const Handle file = open_image(image.finish());
  EXPECT_THAT(extent(open_dataset(file, "line")), ElementsAre(6));
  EXPECT_THAT(extent(open_dataset(file, "table")), ElementsAre(2, 3));
  EXPECT_THAT(read_doubles(file, "line"), ElementsAre(1, 2, 3, 4, 5, 60));
  EXPECT_THAT(read_doubles(file, "table"), ElementsAre(1, 2, 3, 4, 5, 60));
  EXPECT_TRUE(has_type(open_dataset(file, "line"), file_type<TypeParam>()));
  EXPECT_TRUE(has_type(open_dataset(file, "table"), file_type<TypeParam>()));
}

TEST(Hdf5Write, EmptyDatasetsKeepTheirShape) {
  FileImage image;
  write_dataset(image.root(), "line", std::span<const double>{}).close();
  write_dataset(image.root(), "table", std::span<const float>{}, {0, 7}).close();
  const Handle file = open_image(image.finish());
  EXPECT_THAT(extent(open_dataset(file, "line")), ElementsAre(0));
  EXPECT_THAT(extent(open_dataset(file, "table")), ElementsAre(0, 7));
}

TEST(Hdf5Write, RefusesAnExtentThatDoesNotFit) {
  FileImage image;
  const std::vector<float> values(6);
  const auto write = [&](std::int64_t rows, std::int64_t columns) {
    write_dataset<float>(image.root(), "table", values, {rows, columns}).close();
  };
  EXPECT_THROW(write(2, 4), InvalidArgument);
  EXPECT_THROW(write(4, 2), InvalidArgument);
  EXPECT_THROW(write(-2, -3), InvalidArgument);
  EXPECT_THROW(write(0, 6), InvalidArgument);
  EXPECT_THROW(write(std::int64_t{1} << 61, 48), InvalidArgument);  // the product overflows to 0
  EXPECT_NO_THROW(write(3, 2));
}

TEST(Hdf5Write, AttributesReadBack) {
  FileImage image;
  const std::string long_text(100'000, 'x');  // beyond the 64 KB of an attribute of fixed length
  write_attribute(image.root(), "number", -(std::int64_t{1} << 40));
  write_attribute(image.root(), "text", std::string("nats, \xC3\xA9t\xC3\xA9"));
  write_attribute(image.root(), "empty", std::string());
  write_attribute(image.root(), "long", long_text);
  const Handle file = open_image(image.finish());
  EXPECT_EQ(read_integer_attribute(file.get(), "number"), -(std::int64_t{1} << 40));
  EXPECT_EQ(read_string_attribute(file.get(), "text"), "nats, \xC3\xA9t\xC3\xA9");
  EXPECT_EQ(read_string_attribute(file.get(), "empty"), "");
  EXPECT_EQ(read_string_attribute(file.get(), "long"), long_text);
}

TEST(Hdf5Write, RefusesTextWithANulByte) {
  FileImage image;
  EXPECT_THROW(write_attribute(image.root(), "text", std::string("a\0b", 3)), InvalidArgument);
}

TEST(Hdf5Write, FailsSilentlyOnStderrAndLoudlyInTheException) {
  FileImage image;
  testing::internal::CaptureStderr();
  create_group(image.root(), "steps").close();
  EXPECT_THROW(create_group(image.root(), "steps").close(), Hdf5Error);
  EXPECT_THROW(write_dataset(image.root(), "steps", std::span<const double>{}).close(), Hdf5Error);
  write_attribute(image.root(), "number", 1);
  EXPECT_THROW(write_attribute(image.root(), "number", 2), Hdf5Error);
  EXPECT_THROW(write_attribute(H5I_INVALID_HID, "number", 2), Hdf5Error);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace klmesh::io
