// The file that `klmesh eval` reads: logits, or log-probabilities, of a policy and a reference.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "io/element_type.hpp"
#include "io/input_dataset.hpp"
#include "io/input_file.hpp"

namespace klmesh::io {

enum class Side { policy, reference };

/// A checked, open logits file. Rows are tokens. Every rank may open the same file; reading is local and
/// never keeps more than it is asked for, but for a cache of decompressed chunks (see chunk_cache()).
///
/// Ranges must lie inside the file, else InvalidArgument. Every function that reads throws InvalidData naming
/// file, dataset and row if the data are wrong or corrupt, and IoError if the device fails. Not for several
/// threads.
class LogitsFile {
 public:
  /// Reads names, types and shapes, no values.
  /// @throws InputNotFound no such file, or no right to read it
  /// @throws InvalidData   not HDF5, truncated, corrupt, or not of the format: the message says what and
  /// where
  static LogitsFile open(const std::filesystem::path& path);

  LogitsFile(LogitsFile&&) = default;
  LogitsFile& operator=(LogitsFile&&) = delete;  // would close the old file before its datasets

  const std::string& path() const noexcept { return file_.path; }
  std::int64_t rows() const noexcept { return rows_; }

  /// Exactly one of the two is true: policy_logits and reference_logits (rows, columns), or logp_policy and
  /// logp_reference (rows).
  bool has_logits() const noexcept { return logits_.has_value(); }
  bool has_logp() const noexcept { return logp_.has_value(); }

  /// False without logits: the log-probabilities are those of the sampled tokens already.
  bool has_targets() const noexcept { return targets_.has_value(); }
  bool has_mask() const noexcept { return mask_.has_value(); }
  bool has_sequence() const noexcept { return sequence_.has_value(); }

  /// Columns that count: the root attribute vocab_size, or the columns of both sides; 0 without logits.
  std::int64_t vocab_size() const noexcept { return vocab_size_; }

  /// Of the logits, or of the log-probabilities if those are what there is.
  ElementType type(Side side) const { return values(side).type; }

  /// Columns in the file, >= vocab_size(). @throws InvalidArgument without logits
  std::int64_t columns(Side side) const { return logits(side).dataset.columns(); }

  /// Rows that share a chunk, 1 if there are none: blocks of a multiple of this are read at the least cost,
  /// if they start at a multiple, too. @throws InvalidArgument without logits
  std::int64_t rows_per_chunk(Side side) const { return logits(side).dataset.chunk()[0]; }

  /// Columns that share a chunk, all of them if there are no chunks. @throws InvalidArgument without logits
  std::int64_t columns_per_chunk(Side side) const { return logits(side).dataset.chunk()[1]; }

  /// Reads (rows, columns) logits into `out`, row-major without gaps, in type(side) and native byte order.
  /// Cost: chunks that the range touches are decompressed once, and again only if the cache lost them.
  void read_logits(Side side, std::int64_t first_row, std::int64_t rows, std::int64_t first_column,
                   std::int64_t columns, void* out) const;

  /// Token ids; an unsigned one beyond 2^63 - 1 is read as 2^63 - 1, which no vocabulary holds. Not checked
  /// against the vocabulary. @throws InvalidArgument without targets
  void read_targets(std::int64_t first_row, std::span<std::int64_t> out) const;

  /// The digits of a target as the file has it, for messages.
  std::string target_text(std::int64_t row) const;

  /// 1: the row counts, 0: it is left out. Without a mask in the file, all ones.
  /// @throws InvalidData naming the row, if there is another value
  void read_mask(std::int64_t first_row, std::span<std::uint8_t> out) const;

  /// Sequence ids: equal ones are equal, the order means nothing. @throws InvalidArgument without sequence
  void read_sequence(std::int64_t first_row, std::span<std::int64_t> out) const;

  /// Log-probabilities in nats, <= 0; -inf is allowed.
  /// @param mask as read_mask() gave for the same rows, or empty: rows with 0 are read, and may hold anything
  /// @param keep_invalid let NaN and +inf pass
  /// @throws InvalidData naming the row of the first NaN or positive value; InvalidArgument without logp
  void read_logp(Side side, std::int64_t first_row, std::span<double> out, std::span<const std::uint8_t> mask = {},
                 bool keep_invalid = false) const;

  /// Checks the chunks that hold the first and the last column of a row, in every dataset, see
  /// require_whole_chunk(). Cost: two chunks per dataset.
  void require_whole_chunks(std::int64_t row) const;

 private:
  struct Values {
    InputDataset dataset;
    ElementType type;
    Handle memory_type;
  };
  struct Pair {
    Values policy, reference;
  };

  explicit LogitsFile(InputFile file) : file_(std::move(file)) {}

  std::optional<Pair> open_pair(const char* policy, const char* reference, int rank) const;
  void open_values();
  void open_companions();
  void require_same_rows(const InputDataset& dataset) const;
  std::int64_t resolve_vocab_size() const;
  const Values& values(Side side) const;
  const Values& logits(Side side) const;

  InputFile file_;  // first, so that it is closed last
  std::optional<Pair> logits_, logp_;
  std::optional<InputDataset> targets_, mask_, sequence_;
  std::int64_t rows_ = 0, vocab_size_ = 0;
};

}  // namespace klmesh::io
