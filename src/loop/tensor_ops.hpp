// What the loop is made of: a small set of operations on tensors, and the memory they work in. One implementation per back
// end: host/ (OpenBLAS and SIMD) and cuda/ (cuBLAS and kernels). The loop itself is written once, on top of this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/gumbel.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"
#include "loop/adam_update.hpp"
#include "loop/fixed_point.hpp"
#include "loop/matrix.hpp"
#include "loop/memory_ledger.hpp"
#include "loop/penalty_algebra.hpp"
#include "loop/row_frame.hpp"

namespace klmesh::loop {

/// One position of all sequences of this rank, while they are sampled. Row of a token: sequence * length + position.
struct SamplePosition {
  std::int64_t sequences = 0;       ///< of this rank
  std::int64_t length = 0;          ///< tokens a sequence at most
  std::int64_t position = 0;        ///< 0 .. length - 1
  std::int64_t first_sequence = 0;  ///< global index of this rank's first sequence
  std::int64_t context = 0;         ///< words the model sees
};

/// Sequences while they are sampled. Before position 0: tokens <eos>, mask 0, ended 0, invalid 0.
struct SampleState {
  std::span<std::int32_t> tokens;      ///< (sequences, length)
  std::span<std::uint8_t> mask;        ///< (sequences, length) 1: a token was drawn there
  std::span<std::uint8_t> ended;       ///< (sequences) 1: <eos> was drawn
  std::span<std::uint64_t> invalid;    ///< (1) rows without a valid logit, so far, of this rank
  std::span<GumbelMax> candidates;     ///< (vocabulary parts + 1, sequences) scratch
};

/// The sequences of a step, and those that are this rank's.
struct SequenceShare {
  std::int64_t total = 0;   ///< of all batch parts
  std::int64_t first = 0;   ///< global index of this part's first
  std::int64_t count = 0;   ///< of this part
  std::int64_t length = 0;  ///< tokens a sequence at most
};

/// What all batch parts know of a step's sequences after one exchange. Before it, each holds its own part's values and 0
/// elsewhere; the exchange adds bit patterns, so nothing is rounded.
struct SequenceTerms {
  std::span<double> rewards;     ///< (total) NaN: a token is outside the vocabulary
  std::span<double> penalties;   ///< (total, length) 0 where masked
  std::span<std::int64_t> mask;  ///< (total, length)
};

/// Scores of words, (vocab size) each, and the fewest words that a text is averaged over.
struct WordScores {
  std::span<const float> scores;
  std::int64_t min_words = 0;
};

/// The operations of a back end on one rank, and its memory. Spans and matrices are memory of memory()'s kind, except in
/// upload() and download(). Work is enqueued on stream() in the order of the calls: on the host it is done on return; on a
/// device download() and wait() wait for it, and so do upload(), when what it has staged since the last wait is more than
/// fits, and a Buffer that has to grow.
///
/// All ranks call the same operations in the same order; those that exchange say over which group. Shapes are the loop's
/// own and are not checked again on a device; what depends on data in memory is never an exception, but recorded there:
/// in the bounds of gradients, in SampleState::invalid, in the sums of the engine, as NaN rewards.
/// Scratch that an operation needs beyond its arguments grows to the largest call and stays: the second step of a phase
/// allocates nothing. Not safe for concurrent calls.
/// @throws CommunicationError, CudaError from any call
class TensorOps {
 public:
  enum class Memory { host, device };
  enum class Group { vocab, batch, world };

  /// @param mesh must outlive this
  explicit TensorOps(Mesh& mesh) noexcept : mesh_(&mesh) {}
  virtual ~TensorOps() = default;
  TensorOps(const TensorOps&) = delete;
  TensorOps& operator=(const TensorOps&) = delete;

  /// "cpu", "cuda".
  virtual std::string_view name() const noexcept = 0;
  virtual Memory memory() const noexcept = 0;
  virtual StreamRef stream() const noexcept = 0;
  /// The groups of ranks, and their communicators for data of the host.
  Mesh& mesh() const noexcept { return *mesh_; }

  /// An engine on this memory; it must not outlive this. @throws as Engine's constructor
  virtual Engine make_engine(std::int64_t vocab_size) = 0;

  // --- Memory. Use Buffer (buffer.hpp), which calls these.

  /// @param name what for: "parameters", "moments", "gradient", "logits" and so on; counted under it
  /// @return memory aligned to 64 bytes at least, all 0; null for 0 bytes
  std::byte* allocate(std::string_view name, std::size_t bytes);
  void release(std::string_view name, std::byte* memory, std::size_t bytes) noexcept;
  const MemoryLedger& ledger() const noexcept { return ledger_; }

  /// Copies from the host. `from` may be reused on return.
  void upload(CopyReason reason, std::span<const std::byte> from, std::span<std::byte> to);
  /// Copies to the host; complete on return, so it waits for all that was enqueued. @throws as wait()
  void download(CopyReason reason, std::span<const std::byte> from, std::span<std::byte> to);
  /// Within this memory; no overlap.
  virtual void copy(std::span<const std::byte> from, std::span<std::byte> to) = 0;
  virtual void clear(std::span<std::byte> memory) = 0;
  /// Blocks until all that was enqueued is done.
  /// @throws DeadlineExceeded, CommunicationError, CudaError
  virtual void wait() = 0;

  // --- Exchanges of memory. Integers alone, see Communicator::all_reduce().

  virtual void all_reduce(Group group, std::span<std::int64_t> sums, std::span<std::uint64_t> maxima) = 0;

  // --- Arrays.

  virtual void fill(std::span<double> values, double value) = 0;
  virtual void fill(std::span<std::int32_t> values, std::int32_t value) = 0;
  virtual void widen(std::span<const std::int32_t> from, std::span<std::int64_t> to) = 0;
  virtual void widen(std::span<const float> from, std::span<double> to) = 0;

  // --- The model, forward. See Policy for the formula.

  /// How activations of these rows lie in memory.
  virtual RowFrame frame(std::int64_t first_row, std::int64_t rows) const noexcept = 0;

  /// Each row's inputs: the embeddings of its context words, one after the other. Collective over vocab: every rank has
  /// the words of its shard, and gets all.
  /// @param embeddings (shard.columns(), embedding)
  /// @param contexts   (frame.rows, context) on a device, words outside the vocabulary read as zeros
  /// @param inputs     (frame.padded, context * embedding) output, padding included
  /// @throws InvalidArgument on the host, on every rank of vocab, if a word is outside the vocabulary
  virtual void look_up(const VocabShard& shard, Matrix<const float> embeddings, std::span<const std::int32_t> contexts,
                       const RowFrame& frame, std::span<float> inputs) = 0;

  /// hidden = tanh(inputs weights + bias).
  /// @param weights (inputs, hidden); @param bias (1, hidden)
  /// @param hidden  (frame.padded, hidden) output, padding included
  virtual void hidden_layer(Matrix<const float> weights, Matrix<const float> bias, std::span<const float> inputs,
                            const RowFrame& frame, std::span<float> hidden) = 0;

  /// logits = hidden head^T + bias, for the columns of this rank. No exchange.
  /// @param head   (columns, hidden) with its padding behind the shard's columns; @param bias (1, columns)
  /// @param logits (frame.rows, columns) output; padding's columns get what the padded head makes of them
  virtual void head_layer(const VocabShard& shard, Matrix<const float> head, Matrix<const float> bias,
                          std::span<const float> hidden, const RowFrame& frame, std::span<float> logits) = 0;

  // --- The model, backward. Gradients are added to fixed-point sums.

  /// What head_backward() works on.
  struct HeadBackward {
    Matrix<const float> head;        ///< (shard columns, hidden) without padding
    std::span<const float> hidden;   ///< (frame.padded, hidden)
    Matrix<const float> dlogits;     ///< (frame.rows, shard columns); the stride is that of the logits. Padding: never read
    FixedPointTensor dhead;          ///< (columns of the logits, hidden) added to; padding untouched
    FixedPointTensor dbias;          ///< (columns of the logits) added to
    FixedPointTensor dhidden_sums;   ///< (frame.padded * hidden) scratch for the sum over vocab; bound too
    FixedPointTensor dhidden_bound;  ///< no words: its bound is saturated if a sum over vocab is not valid
    std::span<float> dhidden;        ///< (frame.padded, hidden) output: summed over vocab, equal on all its ranks
  };
  /// Head and head bias, and the gradient of the hidden layer's outputs. Collective over vocab: one integer exchange of
  /// dhidden_sums and its bound, which lie one behind the other.
  virtual void head_backward(const VocabShard& shard, const RowFrame& frame, const HeadBackward& tensors) = 0;

  /// What hidden_backward() works on.
  struct HiddenBackward {
    Matrix<const float> weights;    ///< (inputs, hidden)
    std::span<const float> inputs;  ///< (frame.padded, inputs)
    std::span<const float> hidden;  ///< (frame.padded, hidden) after tanh
    std::span<float> dhidden;       ///< (frame.padded, hidden) in: of tanh's outputs; out: of its inputs, * (1 - hidden^2)
    FixedPointTensor dweights;      ///< (inputs, hidden) added to
    FixedPointTensor dbias;         ///< (hidden) added to
    std::span<float> dinputs;       ///< (frame.padded, inputs) output; padding may be anything
  };
  /// The hidden layer; replicated in vocab, no exchange.
  virtual void hidden_backward(const RowFrame& frame, const HiddenBackward& tensors) = 0;

  /// Adds each word's part of dinputs to the embeddings' gradient, for the words of this shard. No exchange.
  /// @param contexts    (frame.rows, context); @param dinputs (frame.padded, context * embedding)
  /// @param dembeddings (shard.columns(), embedding) added to
  virtual void embeddings_backward(const VocabShard& shard, std::span<const std::int32_t> contexts,
                                   std::span<const float> dinputs, const RowFrame& frame,
                                   FixedPointTensor dembeddings) = 0;

  // --- The optimiser.

  /// Saturates bounds that an exchange added up, and lets all ranks of vocab know of each other's invalid ones: a bound
  /// that is_valid_bound() refuses on one is saturated on all. Collective over vocab.
  virtual void agree_on_validity(std::span<std::int64_t> bounds) = 0;

  /// adam_update() of every element.
  virtual void adam_step(std::span<float> parameters, std::span<const std::int64_t> gradient, std::span<float> first,
                         std::span<float> second, const AdamCoefficients& coefficients) = 0;

  // --- Sampling.

  /// The words before `at.position` of every sequence; see context_word().
  /// @param contexts          (sequences, length, context) output: entries of this position are written
  /// @param position_contexts (sequences, context) output: the same, one behind the other
  virtual void contexts_at(const SamplePosition& at, std::span<const std::int32_t> tokens,
                           std::span<std::int32_t> contexts, std::span<std::int32_t> position_contexts) = 0;

  /// Draws a token for every sequence that has not ended, by Gumbel-max over the sharded vocabulary. Collective over
  /// vocab: one all-gather of candidates, merged with merge(); every rank of it writes the same.
  ///
  /// Noise is that of token (first_sequence + s) * length + position. The token is written with mask 1, and ends the
  /// sequence if it is <eos>. A row whose winner is GumbelMax::none or ::invalid counts as invalid and draws <eos>.
  /// @param logits (sequences, columns >= shard.columns())
  virtual void draw_tokens(const VocabShard& shard, const RandomStream& random, const SamplePosition& at,
                           Matrix<const float> logits, const SampleState& state) = 0;

  // --- Phase 3.

  /// Rewards, penalties and mask of this rank's sequences, into its part of `terms`; 0 in the parts of others.
  /// @param tokens (count, length) sampled; @param mask (count, length)
  /// @param stats  (count * length) what the engine says of them
  virtual void sequence_terms(Penalty kind, const SequenceShare& share, const WordScores& words,
                              std::span<const std::int32_t> tokens, std::span<const std::uint8_t> mask,
                              std::span<const TokenStats> stats, const SequenceTerms& terms) = 0;

  /// Weights of this rank's tokens in the gradient: sequence_returns() and subtract_baseline() of all sequences, then
  /// token_weights() of this rank's; 0 where masked. No exchange.
  /// @param terms   of all sequences, after the exchange
  /// @param returns (total, length) scratch
  /// @param logp, kl (count * length) output
  virtual void policy_weights(Penalty kind, double beta, const SequenceShare& share, const SequenceTerms& terms,
                              std::span<const TokenStats> stats, std::span<double> returns, std::span<double> logp,
                              std::span<double> kl) = 0;

 protected:
  /// Scratch of the implementation is counted like all memory: take it with allocate(), in a Buffer.

  virtual std::byte* allocate_bytes(std::size_t bytes) = 0;              ///< bytes > 0; all 0
  virtual void release_bytes(std::byte* memory, std::size_t bytes) noexcept = 0;  ///< not null
  virtual void upload_bytes(std::span<const std::byte> from, std::span<std::byte> to) = 0;
  virtual void download_bytes(std::span<const std::byte> from, std::span<std::byte> to) = 0;

 private:
  Mesh* mesh_;
  MemoryLedger ledger_;
};

}  // namespace klmesh::loop
