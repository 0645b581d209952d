#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loop/examples.hpp"

namespace klmesh::loop {
namespace {

using ::testing::ElementsAre;

TEST(Examples, EveryWordAndEveryEndAfterItsContext) {
  TextPart part;
  part.tokens = {7, 8, 9, 5};
  part.offsets = {0, 3, 4};
  part.subject = {0, 0};
  const Examples examples = make_examples(part, 2);
  EXPECT_EQ(examples.size(), part.predictions());
  EXPECT_THAT(examples.targets, ElementsAre(7, 8, 9, 2, 5, 2));
  // <bos> is 1; a context never reaches into the text before.
  EXPECT_THAT(examples.contexts, ElementsAre(1, 1, 1, 7, 7, 8, 8, 9, 1, 1, 1, 5));
  EXPECT_THAT(examples.context_of(3), ElementsAre(8, 9));
}

TEST(Examples, OfNoTexts) { EXPECT_EQ(make_examples({}, 4).size(), 0); }

}  // namespace
}  // namespace klmesh::loop
