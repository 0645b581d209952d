#include "klmesh/eval_file.hpp"

#include <fmt/format.h>

#include <string_view>

#include "io/commit.hpp"
#include "io/file_image.hpp"
#include "io/hdf5_write.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

void require_per_token(std::string_view name, std::size_t size, std::int64_t tokens) {
  if (size != 0 && static_cast<std::int64_t>(size) != tokens)
    throw InvalidArgument(fmt::format("dataset {}: {} values for {} tokens", name, size, tokens));
}

void validate(const EvalFile& content) {
  if (content.vocab_size < 1 || content.policy_columns < content.vocab_size ||
      content.reference_columns < content.vocab_size)
    throw InvalidArgument(fmt::format("vocab_size {} does not fit {} and {} columns", content.vocab_size,
                                      content.policy_columns, content.reference_columns));
  require_per_token("targets", content.targets.size(), content.tokens);
  require_per_token("mask", content.mask.size(), content.tokens);
  require_per_token("sequence", content.sequence.size(), content.tokens);
}

template <Element T>
void write_optional(hid_t root, const std::string& name, std::span<const T> values) {
  if (!values.empty()) write_dataset(root, name, values).close();
}

}  // namespace

std::vector<std::byte> eval_file_image(const EvalFile& content) {
  validate(content);
  FileImage image;
  const hid_t root = image.root();
  write_attribute(root, "vocab_size", content.vocab_size);
  write_attribute(root, "config_toml", content.config_toml);
  write_dataset(root, "policy_logits", content.policy_logits, {content.tokens, content.policy_columns})
      .close();
  write_dataset(root, "reference_logits", content.reference_logits,
                {content.tokens, content.reference_columns})
      .close();
  write_optional(root, "targets", content.targets);
  write_optional(root, "mask", content.mask);
  write_optional(root, "sequence", content.sequence);
  return image.finish();
}

void commit_eval_file(const std::filesystem::path& path, const EvalFile& content) {
  commit_file(path, eval_file_image(content));
}

}  // namespace klmesh::io
