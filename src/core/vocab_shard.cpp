#include "klmesh/vocab_shard.hpp"

#include <string>

#include "klmesh/error.hpp"

namespace klmesh {

VocabShard vocab_shard(std::int64_t vocab_size, int part, int parts) {
  if (vocab_size < 1 || vocab_size > 0x7fffffff) {
    throw InvalidArgument("vocab_size " + std::to_string(vocab_size) + " is not between 1 and 2147483647");
  }
  if (parts < 1 || parts > kVocabSlices) {
    throw InvalidArgument(std::to_string(parts) + " vocabulary parts: must be between 1 and " +
                          std::to_string(kVocabSlices));
  }
  if (part < 0 || part >= parts) {
    throw InvalidArgument("vocabulary part " + std::to_string(part) + " of " + std::to_string(parts));
  }
  VocabShard shard;
  shard.vocab_size = vocab_size;
  shard.part = part;
  shard.parts = parts;
  shard.first_slice = kVocabSlices * part / parts;
  shard.last_slice = kVocabSlices * (part + 1) / parts;
  shard.begin = slice_begin(vocab_size, shard.first_slice);
  shard.end = slice_begin(vocab_size, shard.last_slice);
  return shard;
}

}  // namespace klmesh
