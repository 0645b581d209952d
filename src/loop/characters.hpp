// Characters of a text in unknown encoding: decoded, classified, lower-cased. Just enough of Unicode for word
// lists.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace klmesh::loop {

struct DecodedCharacter {
  char32_t code;
  std::size_t bytes;  ///< consumed, at least 1
};

/// The character at the front of `bytes` (not empty): UTF-8 where it is valid, else the first byte as
/// Latin-1.
DecodedCharacter decode_character(std::string_view bytes);

/// Appends the UTF-8 form of a character that decode_character can return.
void append_utf8(std::string& bytes, char32_t code);

bool is_space(char32_t code);
bool is_digit(char32_t code);  ///< ASCII digits alone
bool is_letter(char32_t code);

/// Control characters and marks of zero width that leave no trace in a token; white space is not among them.
bool is_ignored(char32_t code);

/// Lower case of Latin, Greek and Cyrillic letters; every other character is returned as it is.
char32_t to_lower(char32_t code);

}  // namespace klmesh::loop
