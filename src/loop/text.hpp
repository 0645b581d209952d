// Words of a text, and a text of words.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace klmesh::loop {

/// Splits a text into lower-cased tokens, each valid UTF-8 without white space:
/// a run of letters; one of the endings 's 't 're 've 'll 'd 'm; one digit; a run of one other character
/// ("...", "--").
///
/// Bytes that are no valid UTF-8 are read as Latin-1, so both encodings work, mixed ones too. Typographic
/// quotes, dashes and ellipses become their ASCII forms, overstrikes ("_\bx") the letter, other control
/// characters vanish. Never fails. Cost: linear.
std::vector<std::string> tokenise(std::string_view bytes);

/// Joins tokens for people to read: punctuation and endings attached, digits and hyphenated words closed up.
/// It does not restore capitals or line breaks.
std::string detokenise(std::span<const std::string> tokens);

}  // namespace klmesh::loop
