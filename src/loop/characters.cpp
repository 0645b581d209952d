#include "loop/characters.hpp"

namespace klmesh::loop {
namespace {

constexpr bool between(char32_t code, char32_t first, char32_t last) { return first <= code && code <= last; }

/// Bytes of the sequence that `lead` opens; 0 if it opens none. 0xC0, 0xC1 and above 0xF4 can only be
/// overlong or out of range.
std::size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (between(lead, 0xC2, 0xDF)) return 2;
  if (between(lead, 0xE0, 0xEF)) return 3;
  if (between(lead, 0xF0, 0xF4)) return 4;
  return 0;
}

bool is_well_formed(char32_t code, std::size_t length) {
  if (length == 3) return code >= 0x800 && !between(code, 0xD800, 0xDFFF);
  if (length == 4) return between(code, 0x10000, 0x10FFFF);
  return true;
}

}  // namespace

DecodedCharacter decode_character(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes.front());
  const std::size_t length = sequence_length(lead);
  const DecodedCharacter latin1{lead, 1};
  if (length <= 1 || length > bytes.size()) return latin1;
  char32_t code = lead & (0xFFu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if ((byte & 0xC0) != 0x80) return latin1;
    code = code << 6 | (byte & 0x3F);
  }
  return is_well_formed(code, length) ? DecodedCharacter{code, length} : latin1;
}

void append_utf8(std::string& bytes, char32_t code) {
  const auto tail = [&](int shift) { bytes += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    bytes += static_cast<char>(code);
  } else if (code < 0x800) {
    bytes += static_cast<char>(0xC0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    bytes += static_cast<char>(0xE0 | code >> 12);
    tail(6), tail(0);
  } else {
    bytes += static_cast<char>(0xF0 | code >> 18);
    tail(12), tail(6), tail(0);
  }
}

bool is_space(char32_t code) {
  return code == ' ' || between(code, '\t', '\r') || code == 0xA0 || code == 0x1680 ||
         between(code, 0x2000, 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
         code == 0x205F || code == 0x3000;
}

bool is_digit(char32_t code) { return between(code, '0', '9'); }

/// Whole blocks rather than tables: combining marks belong to the word they stand in, and a rare symbol
/// inside a block of letters does no harm to a word list.
bool is_letter(char32_t code) {
  if (code < 0x80) return between(code, 'a', 'z') || between(code, 'A', 'Z');
  if (code < 0x100)
    return code == 0xAA || code == 0xB5 || code == 0xBA || (code >= 0xC0 && code != 0xD7 && code != 0xF7);
  return (code < 0x2000 && !is_space(code)) || between(code, 0x2C00, 0x2DFF) ||
         between(code, 0x3040, 0xD7FF) || between(code, 0xF900, 0xFDFF) || between(code, 0x10000, 0x1EFFF) ||
         between(code, 0x20000, 0x3FFFF);
}

bool is_ignored(char32_t code) {
  return (code < 0x20 && !is_space(code)) || between(code, 0x7F, 0x9F) || code == 0xAD ||
         between(code, 0x200B, 0x200F) || between(code, 0x202A, 0x202E) || between(code, 0x2060, 0x206F) ||
         between(code, 0xFE00, 0xFE0F) || code == 0xFEFF;
}

char32_t to_lower(char32_t code) {
  const bool even = code % 2 == 0;
  if (between(code, 'A', 'Z') || (between(code, 0xC0, 0xDE) && code != 0xD7)) return code + 0x20;
  if (code == 0x130 || code == 0x138) return code;  // dotted I, kra: no neighbour to fold to
  if (between(code, 0x100, 0x137) || between(code, 0x14A, 0x177)) return even ? code + 1 : code;
  if (between(code, 0x139, 0x148) || between(code, 0x179, 0x17E)) return even ? code : code + 1;
  if (code == 0x178) return 0xFF;
  if (between(code, 0x391, 0x3AB) && code != 0x3A2) return code + 0x20;
  if (between(code, 0x410, 0x42F)) return code + 0x20;
  if (between(code, 0x400, 0x40F)) return code + 0x50;
  return code;
}

}  // namespace klmesh::loop
