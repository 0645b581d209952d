// Values to 64-bit words and back, bit for bit: one description of a struct serves both directions.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "klmesh/error.hpp"

namespace klmesh::loop {

/// Writes the values it is called with, or reads them. A struct takes part by a function
/// visit(WordArchive&, Struct&) that calls the archive with its members.
class WordArchive {
 public:
  WordArchive() = default;                                                                        ///< writes
  explicit WordArchive(std::vector<std::int64_t> words) : words_(std::move(words)), reads_(true) {}  ///< reads

  /// What was written.
  std::vector<std::int64_t> take() && { return std::move(words_); }

  /// @throws InvalidData if there are words left to read
  void finish() const {
    if (reads_ && next_ != words_.size()) throw InvalidData("reports of a checkpoint: too many words");
  }

  /// @throws InvalidData if the words end
  template <class... T>
  void operator()(T&... values) {
    (value(values), ...);
  }

 private:
  void value(std::int64_t& word) {
    if (!reads_) return words_.push_back(word);
    if (next_ == words_.size()) throw InvalidData("reports of a checkpoint: too few words");
    word = words_[next_++];
  }
  void value(double& number) {
    auto word = std::bit_cast<std::int64_t>(number);
    value(word);
    number = std::bit_cast<double>(word);
  }
  void value(char& character) { convert(character); }
  template <class T>
    requires std::is_enum_v<T>
  void value(T& enumerator) {
    convert(enumerator);
  }
  template <class T>
  void convert(T& small) {
    auto word = static_cast<std::int64_t>(small);
    value(word);
    small = static_cast<T>(word);
  }
  void value(std::string& text) { elements(text); }
  template <class T>
  void value(std::vector<T>& list) {
    elements(list);
  }
  template <class T, std::size_t N>
  void value(std::array<T, N>& list) {
    for (T& element : list) value(element);
  }
  template <class T>
  void value(std::optional<T>& maybe) {
    std::int64_t there = maybe ? 1 : 0;
    value(there);
    if (reads_) maybe = there ? std::optional<T>(std::in_place) : std::nullopt;
    if (maybe) value(*maybe);
  }
  template <class T>
    requires std::is_class_v<T>
  void value(T& object) {
    visit(*this, object);
  }

  template <class T>
  void elements(T& list) {
    auto size = static_cast<std::int64_t>(list.size());
    value(size);
    // Every element takes a word at least: a wrong size can't make a huge allocation.
    if (reads_ && (size < 0 || static_cast<std::size_t>(size) > words_.size() - next_)) {
      throw InvalidData("reports of a checkpoint: a list is longer than its words");
    }
    list.resize(static_cast<std::size_t>(size));
    for (auto& element : list) value(element);
  }

  std::vector<std::int64_t> words_;
  bool reads_ = false;
  std::size_t next_ = 0;
};

}  // namespace klmesh::loop
