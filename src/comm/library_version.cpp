#include "comm/library_version.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstddef>

#include "comm/agreement.hpp"
#include "klmesh/extended_partial.hpp"
#include "klmesh/row_partial.hpp"
#include "klmesh/vocab_shard.hpp"

namespace klmesh {

std::string library_version() {
  Fingerprint format;
  format.add(std::endian::native == std::endian::little).add(sizeof(std::size_t)).add(sizeof(long double));
  format.add(sizeof(RowPartial)).add(sizeof(ExtendedPartial)).add(kVocabSlices);
  return fmt::format("{}, exchange format {:016x}", KLMESH_VERSION, format.value());
}

}  // namespace klmesh
