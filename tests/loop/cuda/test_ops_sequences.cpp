// Sampling and the weights of phase 3 on a GPU: from equal logits and equal statistics, what the host makes of them.
#include "loop/cuda/both_ops.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {
namespace {

constexpr std::int64_t kVocab = 401, kSequences = 9, kLength = 5, kContext = 2, kPadding = 3;

/// What sampling makes of given logits.
struct Drawn {
  std::vector<std::int32_t> tokens, contexts;
  std::vector<std::uint8_t> mask, ended;
  std::uint64_t invalid = 0;
};

/// All positions, with logits (kLength, kSequences, kVocab) that are the same on all ranks of a vocabulary group.
Drawn draw(TensorOps& ops, const std::vector<float>& logits) {
  const VocabShard shard = vocab_shard(kVocab, ops.mesh().vocab_part(), ops.mesh().shape().vocab);
  const std::int64_t columns = shard.columns() + kPadding;
  const std::int64_t first = ops.mesh().batch_part() * kSequences;
  Buffer<std::int32_t> tokens = put(ops, std::vector<std::int32_t>(kSequences * kLength, Vocabulary::end));
  Buffer<std::int32_t> contexts(ops, "test", kSequences * kLength * kContext);
  Buffer<std::int32_t> of_position(ops, "test", kSequences * kContext);
  Buffer<std::uint8_t> mask(ops, "test", kSequences * kLength), ended(ops, "test", kSequences);
  Buffer<std::uint64_t> invalid(ops, "test", 1);
  Buffer<GumbelMax> candidates(ops, "test", (shard.parts + 1) * kSequences);
  Buffer<float> rows(ops, "test", kSequences * columns);
  std::vector<std::int32_t> seen;
  for (std::int64_t position = 0; position < kLength; ++position) {
    const SamplePosition at{kSequences, kLength, position, first, kContext};
    ops.contexts_at(at, tokens.span(), contexts.span(), of_position.span());
    const std::vector<std::int32_t> now = get(of_position);
    seen.insert(seen.end(), now.begin(), now.end());
    std::vector<float> values(static_cast<std::size_t>(kSequences * columns), 1e30f);  // padding would win
    for (std::int64_t s = 0; s < kSequences; ++s) {
      for (std::int64_t c = 0; c < shard.columns(); ++c) {
        values[static_cast<std::size_t>(s * columns + c)] =
            logits[static_cast<std::size_t>((position * kSequences + s) * kVocab + shard.begin + c)];
      }
    }
    rows.upload(CopyReason::start, values);
    ops.draw_tokens(shard, {11, RandomPurpose::sampling, 4}, at, {rows.span().data(), kSequences, columns, columns},
                    {tokens.span(), mask.span(), ended.span(), invalid.span(), candidates.span()});
  }
  Drawn drawn{get(tokens), get(contexts), get(mask), get(ended), get(invalid)[0]};
  drawn.contexts.insert(drawn.contexts.end(), seen.begin(), seen.end());
  return drawn;
}

void expect_same(const Drawn& got, const Drawn& want, MeshShape shape) {
  EXPECT_EQ(got.tokens, want.tokens) << to_string(shape);
  EXPECT_EQ(got.contexts, want.contexts) << to_string(shape);
  EXPECT_EQ(got.mask, want.mask) << to_string(shape);
  EXPECT_EQ(got.ended, want.ended) << to_string(shape);
  EXPECT_EQ(got.invalid, want.invalid) << to_string(shape);
}

TEST(CudaOpsSampling, DrawsTheHostsTokens) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    std::vector<float> logits = normals(kLength * kSequences * kVocab, 7);
    for (std::size_t i = Vocabulary::end; i < logits.size(); i += kVocab) logits[i] = 5.0f;  // some sequences end early
    const Drawn want = draw(both.host, logits), got = draw(both.device, logits);
    expect_same(got, want, shape);
    EXPECT_EQ(got.invalid, 0u);
    EXPECT_THAT(got.mask, testing::AllOf(testing::Contains(0), testing::Contains(1)));
  }
}

TEST(CudaOpsSampling, RowsWithoutAValidLogitAreCountedAndEnd) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    std::vector<float> logits = normals(kLength * kSequences * kVocab, 8);
    logits[300] = NAN;                                                                       // sequence 0, position 0
    std::fill_n(logits.begin() + (2 * kSequences + 4) * kVocab, kVocab, -INFINITY);         // sequence 4, position 2
    const Drawn want = draw(both.host, logits), got = draw(both.device, logits);
    expect_same(got, want, shape);
    EXPECT_EQ(got.invalid, 2u);
  }
}

/// Statistics of this rank's tokens, as an engine might make them.
std::vector<TokenStats> some_stats(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::exponential_distribution<double> positive;
  std::normal_distribution<double> normal;
  std::vector<TokenStats> stats(static_cast<std::size_t>(count));
  for (TokenStats& token : stats) {
    token.kl_reverse = positive(random);
    token.k1 = normal(random);
  }
  return stats;
}

struct Weights {
  std::vector<double> rewards, penalties, logp, kl;
  std::vector<std::int64_t> mask;
};

/// From tokens to weights, with the exchange between; part 0 of the batch has one sequence more than the others.
Weights weights_of(TensorOps& ops, Penalty kind, bool bad_word) {
  Mesh& mesh = ops.mesh();
  const int part = mesh.batch_part(), parts = mesh.shape().batch;
  const SequenceShare share{3 * parts + 1, part == 0 ? 0 : 3 * part + 1, part == 0 ? 4 : 3, kLength};
  const std::int64_t mine = share.count * kLength, all = share.total * kLength;
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> mask;
  for (std::int64_t i = 0; i < mine; ++i) {
    tokens.push_back(static_cast<std::int32_t>((share.first * kLength + i) * 37 % kVocab));
    mask.push_back(i % kLength < 2 + i / kLength ? 1 : 0);
  }
  if (bad_word && part == parts - 1) tokens.back() = kVocab;
  const Buffer<float> scores = put(ops, normals(kVocab, 9));
  const Buffer<std::int32_t> tokens_there = put(ops, tokens);
  const Buffer<std::uint8_t> mask_there = put(ops, mask);
  const Buffer<TokenStats> stats = put(ops, some_stats(mine, 10 + static_cast<unsigned>(part)));
  // One behind the other, so that one exchange carries them, as bits.
  Buffer<std::int64_t> words = put(ops, std::vector<std::int64_t>(static_cast<std::size_t>(share.total + 2 * all), -1));
  double* const doubles = reinterpret_cast<double*>(words.span().data());
  const SequenceTerms terms{{doubles, static_cast<std::size_t>(share.total)},
                            {doubles + share.total, static_cast<std::size_t>(all)},
                            words.span().subspan(static_cast<std::size_t>(share.total + all))};
  ops.sequence_terms(kind, share, {scores.span(), 2}, tokens_there.span(), mask_there.span(), stats.span(), terms);
  ops.all_reduce(TensorOps::Group::batch, words.span(), {});
  Buffer<double> returns(ops, "test", all), logp(ops, "test", mine), kl(ops, "test", mine);
  ops.policy_weights(kind, 0.3, share, terms, stats.span(), returns.span(), logp.span(), kl.span());

  const std::vector<std::int64_t> exchanged = get(words);
  Weights weights{{}, {}, get(logp), get(kl), {exchanged.begin() + share.total + all, exchanged.end()}};
  weights.rewards.resize(static_cast<std::size_t>(share.total));
  weights.penalties.resize(static_cast<std::size_t>(all));
  std::memcpy(weights.rewards.data(), exchanged.data(), weights.rewards.size() * sizeof(double));
  std::memcpy(weights.penalties.data(), exchanged.data() + share.total, weights.penalties.size() * sizeof(double));
  return weights;
}

// One algebra and one order of additions: the same bits, but for the exponential of k3.
TEST(CudaOpsSequences, WeightsAreTheHosts) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    for (const Penalty kind : {Penalty::exact_reward, Penalty::k1_reward, Penalty::exact_loss, Penalty::k2_loss,
                               Penalty::k3_loss, Penalty::none}) {
      const Weights want = weights_of(both.host, kind, false), got = weights_of(both.device, kind, false);
      EXPECT_TRUE(same_bits(got.rewards, want.rewards)) << to_string(shape);
      EXPECT_TRUE(same_bits(got.penalties, want.penalties)) << to_string(shape);
      EXPECT_EQ(got.mask, want.mask) << to_string(shape);
      EXPECT_TRUE(same_bits(got.kl, want.kl)) << to_string(shape);
      for (std::size_t i = 0; i < got.logp.size(); ++i) {
        if (kind == Penalty::k3_loss) EXPECT_NEAR(got.logp[i], want.logp[i], 1e-15 * (1 + std::fabs(want.logp[i])));
        else EXPECT_EQ(got.logp[i], want.logp[i]);
      }
      EXPECT_THAT(got.mask, testing::AllOf(testing::Contains(0), testing::Contains(1)));
    }
  }
}

TEST(CudaOpsSequences, AWordOutsideTheVocabularyMakesItsRewardNan) {
  for (const MeshShape shape : mesh_shapes()) {
    BothOps both(shape);
    const Weights got = weights_of(both.device, Penalty::none, true);
    for (std::size_t s = 0; s < got.rewards.size(); ++s) EXPECT_EQ(std::isnan(got.rewards[s]), s + 1 == got.rewards.size());
  }
}

}  // namespace
}  // namespace klmesh::loop
