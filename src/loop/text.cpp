#include "loop/text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "loop/characters.hpp"

namespace klmesh::loop {
namespace {

constexpr std::array<std::u32string_view, 7> endings{U"'s", U"'t", U"'re", U"'ve", U"'ll", U"'d", U"'m"};

/// The ASCII form of typographic punctuation, so that one word has one spelling; empty for everything else.
std::u32string_view ascii_punctuation(char32_t code) {
  switch (code) {
    case 0x2018:
    case 0x2019:
      return U"'";
    case 0x201C:
    case 0x201D:
      return U"\"";
    case 0x2010:
    case 0x2011:
    case 0x2013:
      return U"-";
    case 0x2014:
      return U"--";
    case 0x2026:
      return U"...";
    default:
      return {};
  }
}

/// A page as a printer would leave it: a backspace steps back in its line, and of two characters struck at
/// one place the letter stays.
class Page {
 public:
  void strike(char32_t code) {
    if (code == '\b') {
      if (cursor_ > line_) --cursor_;
      return;
    }
    if (is_ignored(code)) return;
    if (code == '\n') cursor_ = text_.size();
    put(to_lower(code));
    if (code == '\n') line_ = cursor_;
  }

  const std::u32string& text() const { return text_; }

 private:
  void put(char32_t code) {
    if (cursor_ == text_.size()) {
      text_ += code;
    } else if (char32_t& old = text_[cursor_]; is_letter(code) || (!is_letter(old) && code != '_')) {
      old = code;
    }
    ++cursor_;
  }

  std::u32string text_;
  std::size_t cursor_ = 0;  // where the next character goes
  std::size_t line_ = 0;    // where its line begins
};

std::u32string normalise(std::string_view bytes) {
  Page page;
  while (!bytes.empty()) {
    const DecodedCharacter next = decode_character(bytes);
    bytes.remove_prefix(next.bytes);
    const std::u32string_view ascii = ascii_punctuation(next.code);
    if (ascii.empty()) page.strike(next.code);
    for (const char32_t code : ascii) page.strike(code);
  }
  return page.text();
}

/// Characters of the ending ('s, 'll, ...) that `rest` begins with; 0 if it begins with none.
std::size_t ending_length(std::u32string_view rest) {
  for (const std::u32string_view ending : endings) {
    const bool whole =
        rest.size() == ending.size() || (rest.size() > ending.size() && !is_letter(rest[ending.size()]));
    if (whole && rest.starts_with(ending)) return ending.size();
  }
  return 0;
}

/// Characters of the token that `rest` (not empty, not space) begins with.
std::size_t token_length(std::u32string_view rest) {
  const char32_t first = rest.front();
  if (is_digit(first)) return 1;
  if (const std::size_t length = ending_length(rest); length > 0) return length;
  const auto goes_on = [&](char32_t code) { return is_letter(first) ? is_letter(code) : code == first; };
  return static_cast<std::size_t>(std::ranges::find_if_not(rest, goes_on) - rest.begin());
}

std::string to_utf8(std::u32string_view text) {
  std::string bytes;
  for (const char32_t code : text) append_utf8(bytes, code);
  return bytes;
}

bool is_number(std::string_view token) {
  return token.size() == 1 && is_digit(static_cast<unsigned char>(token[0]));
}

bool is_one_of(std::string_view token, std::string_view characters) {
  return !token.empty() && characters.find(token.front()) != std::string_view::npos;
}

bool is_ending(std::string_view token) { return token.size() > 1 && token[0] == '\'' && token[1] != '\''; }

/// Whether tokens are written together; quotes alternate between opening and closing.
class Joiner {
 public:
  /// @returns whether a space stands before `token`
  bool space_before(std::string_view before_last, std::string_view last, std::string_view token) {
    const bool quote = token == "\"" || token == "'";
    bool& open = token == "'" ? single_open_ : double_open_;
    const bool closes = quote && open;
    if (quote) open = !open;
    const bool after_opening = last_opens_ || is_one_of(last, "([{`");
    last_opens_ = quote && open;
    if (last.empty() || after_opening || closes || is_ending(token)) return false;
    if (is_number(token))
      return !is_number(last) && !(is_number(before_last) && is_one_of(last, ".,:/-")) && last != "-";
    return !is_one_of(token, ".,;:!?)]}%") && token != "-" && last != "-";
  }

 private:
  bool single_open_ = false;
  bool double_open_ = false;
  bool last_opens_ = false;  // the last token was an opening quote
};

}  // namespace

std::vector<std::string> tokenise(std::string_view bytes) {
  const std::u32string text = normalise(bytes);
  std::vector<std::string> tokens;
  std::u32string_view rest = text;
  while (true) {
    const auto begin = std::ranges::find_if_not(rest, is_space);
    rest.remove_prefix(static_cast<std::size_t>(begin - rest.begin()));
    if (rest.empty()) return tokens;
    const std::size_t length = token_length(rest);
    tokens.push_back(to_utf8(rest.substr(0, length)));
    rest.remove_prefix(length);
  }
}

std::string detokenise(std::span<const std::string> tokens) {
  std::string text;
  std::string_view before_last, last;
  Joiner joiner;
  for (const std::string& token : tokens) {
    if (joiner.space_before(before_last, last, token)) text += ' ';
    text += token;
    before_last = last;
    last = token;
  }
  return text;
}

}  // namespace klmesh::loop
