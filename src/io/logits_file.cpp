#include "io/logits_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "io/chunk_check.hpp"
#include "io/input_attribute.hpp"
#include "io/input_error.hpp"
#include "io/input_integers.hpp"

namespace klmesh::io {
namespace {

template <typename T>
const T& given(const std::optional<T>& part, const std::string& path, std::string_view name) {
  if (!part) throw InvalidArgument(fmt::format("{}: has no {}", path, name));
  return *part;
}

// Optional: none if there is no such name.
std::optional<InputDataset> open_vector(const InputFile& file, const char* name,
                                        void (*require_type)(const InputDataset&)) {
  if (!has_link(file, name)) return std::nullopt;
  InputDataset dataset = InputDataset::open(file, name, 1);
  require_type(dataset);
  return dataset;
}

// bfloat16 is the upper half of a float32.
void read_bfloat16(const InputDataset& dataset, std::int64_t first, std::span<double> out) {
  std::vector<std::uint16_t> bits(out.size());
  dataset.read({first, 0}, {static_cast<std::int64_t>(out.size()), 1}, H5T_NATIVE_UINT16, bits.data());
  std::ranges::transform(bits, out.begin(), [](std::uint16_t value) {
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16));
  });
}

}  // namespace

LogitsFile LogitsFile::open(const std::filesystem::path& path) {
  LogitsFile result(open_input_file(path));
  const SilentErrors silent;
  result.open_values();
  result.open_companions();
  return result;
}

void LogitsFile::open_values() {
  logits_ = open_pair("policy_logits", "reference_logits", 2);
  logp_ = open_pair("logp_policy", "logp_reference", 1);
  if (logits_ && logp_) refuse(file_.path, "has both logits and logp_*; one kind is allowed");
  if (!logits_ && !logp_)
    refuse(file_.path, "has neither policy_logits and reference_logits nor logp_policy and logp_reference");
  rows_ = values(Side::policy).dataset.rows();
  require_same_rows(values(Side::reference).dataset);
  if (logits_) vocab_size_ = resolve_vocab_size();
}

void LogitsFile::open_companions() {
  if (logits_) targets_ = open_vector(file_, "targets", require_integers);
  mask_ = open_vector(file_, "mask", require_integers_or_booleans);
  sequence_ = open_vector(file_, "sequence", require_integers);
  for (const auto* companion : {&targets_, &mask_, &sequence_})
    if (*companion) require_same_rows(**companion);
}

std::optional<LogitsFile::Pair> LogitsFile::open_pair(const char* policy, const char* reference,
                                                      int rank) const {
  const bool has_policy = has_link(file_, policy), has_reference = has_link(file_, reference);
  if (!has_policy && !has_reference) return std::nullopt;
  if (!has_policy) refuse(file_.path, fmt::format("has {} but no {}", reference, policy));
  if (!has_reference) refuse(file_.path, fmt::format("has {} but no {}", policy, reference));
  const auto open_side = [&](const char* name) {
    InputDataset dataset = InputDataset::open(file_, name, rank);
    const ElementType type = reading(
        dataset.place(), [&] { return element_type_of(dataset.id(), dataset.type(), dataset.place()); });
    return Values{std::move(dataset), type, memory_type(type)};
  };
  Values first = open_side(policy);
  return Pair{std::move(first), open_side(reference)};
}

void LogitsFile::require_same_rows(const InputDataset& dataset) const {
  if (dataset.rows() != rows_)
    refuse(dataset.place(), fmt::format("has {} rows, but {} has {}", dataset.rows(),
                                        logits_ ? "policy_logits" : "logp_policy", rows_));
}

std::int64_t LogitsFile::resolve_vocab_size() const {
  const std::int64_t policy = columns(Side::policy), reference = columns(Side::reference);
  const auto declared = read_integer(file_.handle.get(), "vocab_size", file_.path);
  if (!declared && policy != reference)
    refuse(logits(Side::reference).dataset.place(),
           fmt::format("has {} columns, but policy_logits has {}; without the root attribute vocab_size they "
                       "must be equal",
                       reference, policy));
  if (!declared) return policy;
  if (*declared < 1)
    refuse(file_.path, fmt::format("attribute vocab_size: must be positive, is {}", *declared));
  for (const Side side : {Side::policy, Side::reference})
    if (columns(side) < *declared)
      refuse(logits(side).dataset.place(),
             fmt::format("has {} columns, fewer than vocab_size {}", columns(side), *declared));
  return *declared;
}

const LogitsFile::Values& LogitsFile::values(Side side) const {
  const Pair& pair = logits_ ? *logits_ : *logp_;
  return side == Side::policy ? pair.policy : pair.reference;
}

const LogitsFile::Values& LogitsFile::logits(Side side) const {
  const Pair& pair = given(logits_, file_.path, "logits");
  return side == Side::policy ? pair.policy : pair.reference;
}

void LogitsFile::read_logits(Side side, std::int64_t first_row, std::int64_t rows, std::int64_t first_column,
                             std::int64_t columns, void* out) const {
  const Values& from = logits(side);
  from.dataset.read({first_row, first_column}, {rows, columns}, from.memory_type.get(), out);
}

void LogitsFile::read_targets(std::int64_t first_row, std::span<std::int64_t> out) const {
  read_integers(given(targets_, file_.path, "targets"), first_row, out, Beyond::clamp);
}

std::string LogitsFile::target_text(std::int64_t row) const {
  return integer_text(given(targets_, file_.path, "targets"), row);
}

void LogitsFile::read_mask(std::int64_t first_row, std::span<std::uint8_t> out) const {
  if (mask_) return read_zeros_and_ones(*mask_, first_row, out);
  std::ranges::fill(out, std::uint8_t{1});
}

void LogitsFile::read_sequence(std::int64_t first_row, std::span<std::int64_t> out) const {
  read_integers(given(sequence_, file_.path, "sequence"), first_row, out, Beyond::wrap);
}

void LogitsFile::read_logp(Side side, std::int64_t first_row, std::span<double> out,
                           std::span<const std::uint8_t> mask, bool keep_invalid) const {
  const Pair& pair = given(logp_, file_.path, "logp_*");
  const Values& from = side == Side::policy ? pair.policy : pair.reference;
  if (!mask.empty() && mask.size() != out.size())
    throw InvalidArgument(fmt::format("{} mask values for {} rows", mask.size(), out.size()));
  if (from.type == ElementType::bf16)
    read_bfloat16(from.dataset, first_row, out);
  else
    from.dataset.read({first_row, 0}, {static_cast<std::int64_t>(out.size()), 1}, H5T_NATIVE_DOUBLE,
                      out.data());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool counts = mask.empty() || mask[i] != 0;
    const bool kept = keep_invalid && (std::isnan(out[i]) || out[i] == HUGE_VAL);
    if (counts && !kept && !(out[i] <= 0))  // NaN, too
      refuse(from.dataset.place(), fmt::format("row {}: a log-probability cannot be {}",
                                               first_row + static_cast<std::int64_t>(i), out[i]));
  }
}

void LogitsFile::require_whole_chunks(std::int64_t row) const {
  const auto check_both_ends = [row](const InputDataset& dataset) {
    require_whole_chunk(dataset, row, 0);
    require_whole_chunk(dataset, row, dataset.columns() - 1);
  };
  for (const Side side : {Side::policy, Side::reference}) check_both_ends(values(side).dataset);
  for (const auto* companion : {&targets_, &mask_, &sequence_})
    if (*companion) check_both_ends(**companion);
}

}  // namespace klmesh::io
