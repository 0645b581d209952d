#include "loop/corpus_files.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <unordered_set>
#include <utility>

#include "klmesh/error.hpp"
#include "loop/text.hpp"

namespace klmesh::loop {
namespace {

namespace fs = std::filesystem;

/// Takes the first line off `rest`, without its end (\n or \r\n).
std::string_view take_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

bool is_percent(std::string_view line) { return line == "%"; }

/// The pieces between lines for which `separates` holds.
template <class Predicate>
std::vector<std::string_view> split_at_lines(std::string_view bytes, Predicate separates) {
  std::vector<std::string_view> texts;
  const char* begin = bytes.data();
  const auto close = [&](const char* end) {
    const std::string_view text(begin, static_cast<std::size_t>(end - begin));
    if (!is_blank(text)) texts.push_back(text);
  };
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    if (!separates(line)) continue;
    close(line.data());
    begin = rest.data();
  }
  close(bytes.data() + bytes.size());
  return texts;
}

bool has_percent_line(std::string_view bytes) {
  while (!bytes.empty()) {
    if (is_percent(take_line(bytes))) return true;
  }
  return false;
}

std::vector<fs::path> text_files_of(const fs::path& directory, const std::vector<std::string>& exclude) {
  std::vector<fs::path> files;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
      const std::string name = entry.path().filename().string();
      const bool wanted =
          name.find('.') == std::string::npos && std::ranges::find(exclude, name) == exclude.end();
      if (wanted && !entry.is_symlink() && entry.is_regular_file()) files.push_back(entry.path());
    }
  } catch (const fs::filesystem_error& error) {
    throw InputNotFound(
        fmt::format("cannot list directory {}: {}", directory.string(), error.code().message()));
  }
  std::ranges::sort(files);
  return files;
}

std::vector<fs::path> files_of(const std::string& path, const std::vector<std::string>& exclude) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    throw InputNotFound(fmt::format("no such file or directory: {}", path));
  }
  if (error) throw InputNotFound(fmt::format("cannot open {}: {}", path, error.message()));
  return fs::is_directory(status) ? text_files_of(path, exclude) : std::vector<fs::path>{path};
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputNotFound(fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)));
  std::string bytes;
  char block[1 << 16];
  while (file.read(block, sizeof block) || file.gcount() > 0)
    bytes.append(block, static_cast<std::size_t>(file.gcount()));
  if (file.bad()) throw IoError(fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)));
  file.clear();
  file.close();
  if (!file) throw IoError(fmt::format("cannot close {}: {}", path.string(), std::strerror(errno)));
  if (bytes.find('\0') != std::string::npos) {
    throw InvalidData(fmt::format("{} is not text: it has a zero byte", path.string()));
  }
  return bytes;
}

}  // namespace

std::vector<std::string_view> split_texts(std::string_view bytes) {
  return has_percent_line(bytes) ? split_at_lines(bytes, is_percent) : split_at_lines(bytes, is_blank);
}

std::string content(const Document& document) { return fmt::format("{}", fmt::join(document.tokens, " ")); }

std::vector<Document> read_documents(const DataConfig& data) {
  std::vector<Document> documents;
  std::unordered_set<std::string> seen;
  for (const std::string& path : data.paths) {
    for (const fs::path& file : files_of(path, data.exclude)) {
      const std::string bytes = read_file(file);
      for (const std::string_view text : split_texts(bytes)) {
        Document document{file.stem().string(), tokenise(text)};
        const bool is_new = !document.tokens.empty() && seen.insert(content(document)).second;
        if (is_new) documents.push_back(std::move(document));
      }
    }
  }
  if (documents.empty()) {
    throw InvalidData(fmt::format(
        "no text in {} (of a directory, only files without a dot in their names are read)",
        data.paths.empty() ? "data.paths, which is empty" : fmt::format("{}", fmt::join(data.paths, ", "))));
  }
  return documents;
}

}  // namespace klmesh::loop
