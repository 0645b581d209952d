// A directory of small text files for one test.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace klmesh::loop {

class TextDirectory {
 public:
  TextDirectory() {
    std::string path = (std::filesystem::temp_directory_path() / "klmesh_texts_XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp failed: " + path);
    path_ = path;
  }
  TextDirectory(const TextDirectory&) = delete;
  TextDirectory& operator=(const TextDirectory&) = delete;
  ~TextDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::string path() const { return path_.string(); }
  std::string path(std::string_view name) const { return (path_ / name).string(); }

  void write(std::string_view name, std::string_view bytes) const {
    std::ofstream file(path_ / name, std::ios::binary);
    file << bytes;
    file.close();
    if (!file) throw std::runtime_error("cannot write " + path(name));
  }

  /// A fortune file of `texts` texts, each "SUBJECT line of NUMBER words".
  void write_fortunes(const std::string& subject, int texts) const {
    std::string bytes;
    for (int i = 0; i < texts; ++i) bytes += subject + " line of " + std::to_string(i) + " words\n%\n";
    write(subject, bytes);
  }

 private:
  std::filesystem::path path_;
};

/// The message of the E that `call` throws; fails the test if it throws none.
template <class E, class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace klmesh::loop
