#include "loop/examples.hpp"

#include "loop/context_words.hpp"

namespace klmesh::loop {

Examples make_examples(const TextPart& part, std::int64_t context) {
  Examples examples;
  examples.context = context;
  examples.contexts.resize(static_cast<std::size_t>(part.predictions() * context));
  examples.targets.reserve(static_cast<std::size_t>(part.predictions()));
  for (std::int64_t d = 0; d < part.documents(); ++d) {
    const std::span<const std::int32_t> text = part.document(d);
    const auto words = static_cast<std::int64_t>(text.size());
    for (std::int64_t position = 0; position <= words; ++position) {
      const auto row = examples.targets.size() * static_cast<std::size_t>(context);
      fill_context(text, position, std::span(examples.contexts).subspan(row, static_cast<std::size_t>(context)));
      examples.targets.push_back(position < words ? text[static_cast<std::size_t>(position)] : Vocabulary::end);
    }
  }
  return examples;
}

}  // namespace klmesh::loop
