#include "io/file_image.hpp"

#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "io/hdf5_write.hpp"
#include "io/opened_image.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

std::vector<std::byte> example(double value) {
  FileImage image;
  write_attribute(image.root(), "text", std::string("some text"));
  Handle group = create_group(image.root(), "group");
  Handle dataset = write_dataset<double>(group.get(), "values", std::vector<double>(1000, value));
  write_attribute(dataset.get(), "unit", std::string("nats"));
  dataset.close();
  group.close();
  return image.finish();
}

TEST(FileImage, IsByteIdenticalForEqualContentAtAnotherTime) {
  const std::vector<std::byte> first = example(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5's time stamps count seconds
  EXPECT_EQ(first, example(1));
  EXPECT_NE(first, example(2));
}

TEST(FileImage, ManyMayBeOpenAtOnce) {
  FileImage first, second;
  write_attribute(first.root(), "number", 1);
  write_attribute(second.root(), "number", 2);
  const std::vector<std::byte> second_bytes = second.finish(), first_bytes = first.finish();
  EXPECT_EQ(read_integer_attribute(open_image(first_bytes).get(), "number"), 1);
  EXPECT_EQ(read_integer_attribute(open_image(second_bytes).get(), "number"), 2);
}

TEST(FileImage, AnEmptyOneIsAFile) {
  FileImage image;
  const std::vector<std::byte> bytes = image.finish();
  EXPECT_TRUE(open_image(bytes));
}

TEST(FileImage, RefusesToFinishWhileAnObjectIsOpen) {
  FileImage image;
  const Handle group = create_group(image.root(), "group");
  EXPECT_THROW((void)image.finish(), Hdf5Error);
}

}  // namespace
}  // namespace klmesh::io
