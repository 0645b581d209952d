#include "io/generation_manifest.hpp"

#include <gmock/gmock.h>

#include <functional>

#include "io/generation_example.hpp"
#include "io/sha256.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(std::string_view text) {
  try {
    parse_manifest(text, "PLACE");
  } catch (const InvalidData& error) {
    return error.what();
  }
  return "";
}

/// The text of a manifest in which `before` became `after`, with a hash that fits.
std::string forged(const std::string& before, const std::string& after) {
  std::string body = to_text(example_manifest());
  body = body.substr(0, body.find("sha256 "));
  body.replace(body.find(before), before.size(), after);
  return body + "sha256 " + sha256_hex(body) + "\n";
}

TEST(GenerationManifest, ReadsBackWhatWasWritten) {
  EXPECT_EQ(parse_manifest(to_text(example_manifest()), "PLACE"), example_manifest());
}

TEST(GenerationManifest, NoticesEveryBitThatFlips) {
  const std::string text = to_text(example_manifest());
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << i % 8));
    EXPECT_THAT(refusal(damaged), HasSubstr("PLACE: damaged")) << "byte " << i;
  }
}

TEST(GenerationManifest, NoticesEveryTruncation) {
  const std::string text = to_text(example_manifest());
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_THAT(refusal(text.substr(0, size)), HasSubstr("PLACE: damaged")) << size << " bytes";
  }
  EXPECT_THAT(refusal(text + "\n"), HasSubstr("damaged"));
}

TEST(GenerationManifest, RefusesWhatItDoesNotUnderstand) {
  EXPECT_THAT(refusal(forged("\"klmesh-checkpoint\"", "\"other\"")), HasSubstr("is no checkpoint"));
  EXPECT_THAT(refusal(forged("\"format_version\": 1", "\"format_version\": 2")), HasSubstr("format version 2"));
  EXPECT_THAT(refusal(forged("\"step\"", "\"stop\"")), HasSubstr("step"));
  EXPECT_THAT(refusal(forged("\"step\": 17", "\"step\": 17.5")), AllOf(HasSubstr("step"), HasSubstr("no integer")));
  EXPECT_THAT(refusal(forged("\"arm_name\": \"none\"", "\"arm_name\": 3")), HasSubstr("PLACE"));
}

TEST(GenerationManifest, RefusesFilesOutsideOfItsDirectoryAndGaps) {
  EXPECT_THAT(refusal(forged("state-1.h5", "../secret")), HasSubstr("is no name of a state file"));
  EXPECT_THAT(refusal(forged("state-1.h5", ".hidden")), HasSubstr("is no name of a state file"));
  EXPECT_THAT(refusal(forged("\"vocab_begin\": 160", "\"vocab_begin\": 176")),
              HasSubstr("state-1.h5 begins at word 176, expected 160"));
  EXPECT_THAT(refusal(forged("\"vocab_end\": 300", "\"vocab_end\": 299")), HasSubstr("299 of 300 words"));
}

}  // namespace
}  // namespace klmesh::io
