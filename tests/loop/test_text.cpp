#include <gmock/gmock.h>

#include <random>
#include <string>

#include "loop/characters.hpp"
#include "loop/text.hpp"

namespace klmesh::loop {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Tokenise, WordsDigitsAndRunsOfPunctuation) {
  EXPECT_THAT(tokenise("Wait... 42 -- No!!"), ElementsAre("wait", "...", "4", "2", "--", "no", "!!"));
  EXPECT_THAT(tokenise("a.,b c3po\t\n x"), ElementsAre("a", ".", ",", "b", "c", "3", "po", "x"));
  EXPECT_THAT(tokenise(""), IsEmpty());
  EXPECT_THAT(tokenise(" \n\t\r\n"), IsEmpty());
}

TEST(Tokenise, EndingsAreTokens) {
  EXPECT_THAT(tokenise("It's what they'd don't, I'LL we've we're I'm"),
              ElementsAre("it", "'s", "what", "they", "'d", "don", "'t", ",", "i", "'ll", "we", "'ve", "we",
                          "'re", "i", "'m"));
}

TEST(Tokenise, AnEndingIsNotFollowedByALetter) {
  EXPECT_THAT(tokenise("'tis 'small o'reilly ''s"),
              ElementsAre("'", "tis", "'", "small", "o", "'", "reilly", "''", "s"));
  EXPECT_THAT(tokenise("that's\xC3\xA9"), ElementsAre("that", "'", "s\xC3\xA9"));
  EXPECT_THAT(tokenise("he's1"), ElementsAre("he", "'s", "1"));
}

TEST(Tokenise, Utf8WordsStayWholeAndAreLowered) {
  EXPECT_THAT(tokenise("\xC3\x9C"
                       "ber Linuxkongre\xC3\x9F \xC5\x81\xC3\xB3"
                       "d\xC5\xBA"),
              ElementsAre("\xC3\xBC"
                          "ber",
                          "linuxkongre\xC3\x9F",
                          "\xC5\x82\xC3\xB3"
                          "d\xC5\xBA"));
  EXPECT_THAT(tokenise("\xD0\x9C\xD0\x98\xD0\xA0 \xCE\xA9"),
              ElementsAre("\xD0\xBC\xD0\xB8\xD1\x80", "\xCF\x89"));
  EXPECT_THAT(tokenise("\xC2\xA3"
                       "5 \xE2\x88\x97\xE2\x88\x97"),
              ElementsAre("\xC2\xA3", "5", "\xE2\x88\x97\xE2\x88\x97"));
}

TEST(Tokenise, Latin1IsReadAsLatin1) {
  EXPECT_THAT(tokenise("\xDC"
                       "ber d'\xE9tat\xA3"),
              ElementsAre("\xC3\xBC"
                          "ber",
                          "d", "'", "\xC3\xA9tat", "\xC2\xA3"));
}

TEST(Tokenise, TypographicPunctuationBecomesAscii) {
  EXPECT_THAT(tokenise("\xE2\x80\x9C"
                       "don\xE2\x80\x99t\xE2\x80\x9D \xE2\x80\x94 so\xE2\x80\xA6"),
              ElementsAre("\"", "don", "'t", "\"", "--", "so", "..."));
}

TEST(Tokenise, OverstrikesAndControlCharacters) {
  EXPECT_THAT(tokenise("*____\b\b\b\bLAST* _\bI ____\b\b\b\bmany"),
              ElementsAre("*", "last", "*", "i", "many"));
  EXPECT_THAT(tokenise("word\b\b\b\b____ e\b' '\be"), ElementsAre("word", "e", "e"));
  EXPECT_THAT(tokenise("be\all\x1b \x7f up\xC2\xAD"
                       "on"),
              ElementsAre("bell", "upon"));
  EXPECT_THAT(tokenise("\b\ba\n\b\bb"), ElementsAre("a", "b"));  // not past the start of a line
}

TEST(Tokenise, MalformedUtf8NeverFailsAndTokensAreUtf8) {
  std::mt19937 random(7);
  for (int repeat = 0; repeat < 2000; ++repeat) {
    std::string bytes(random() % 12, ' ');
    for (char& byte : bytes)
      byte = static_cast<char>(random() % 2 == 0 ? 0xC0 + random() % 64 : 0x80 + random() % 128);
    for (const std::string& token : tokenise(bytes)) {
      ASSERT_FALSE(token.empty());
      for (std::size_t at = 0; at < token.size();) {
        const DecodedCharacter next = decode_character(std::string_view(token).substr(at));
        ASSERT_TRUE(next.bytes > 1 || next.code < 0x80) << "token is not UTF-8";
        ASSERT_FALSE(is_space(next.code));
        at += next.bytes;
      }
    }
  }
}

TEST(DecodeCharacter, RefusesOverlongSurrogatesAndTooLarge) {
  for (const char* bytes : {"\xC0\xAF", "\xC1\xBF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF0\x80\x80\xAF",
                            "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xC3"}) {
    EXPECT_EQ(decode_character(bytes).bytes, 1u) << bytes;
  }
  EXPECT_EQ(decode_character("\xF0\x9F\x98\x80").code, 0x1F600u);
  EXPECT_EQ(decode_character("\xE2\x82\xAC").code, 0x20ACu);
}

TEST(AppendUtf8, InvertsDecodeCharacter) {
  for (const char32_t code :
       {0x41u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xD7FFu, 0xE000u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    std::string bytes;
    append_utf8(bytes, code);
    EXPECT_EQ(decode_character(bytes).code, code);
    EXPECT_EQ(decode_character(bytes).bytes, bytes.size());
  }
}

TEST(ToLower, KnowsTheScripts) {
  EXPECT_EQ(to_lower(0xD7), 0xD7u);    // multiplication sign
  EXPECT_EQ(to_lower(0x178), 0xFFu);   // y with diaeresis
  EXPECT_EQ(to_lower(0x160), 0x161u);  // s with caron
  EXPECT_EQ(to_lower(0x17D), 0x17Eu);  // z with caron
  EXPECT_EQ(to_lower(0x401), 0x451u);  // io
  EXPECT_EQ(to_lower(0x17E), 0x17Eu);
}

TEST(Detokenise, AttachesPunctuation) {
  const auto round = [](std::string_view text) { return detokenise(tokenise(text)); };
  for (const char* text :
       {"it's done, they say: don't (ever) stop!", "in 1984 a well-known \"big brother\" said so...",
        "3.14 or 1,000 of 'em, 50% now", "yes -- no", "a", ""}) {
    EXPECT_EQ(round(text), text);
  }
}

}  // namespace
}  // namespace klmesh::loop
