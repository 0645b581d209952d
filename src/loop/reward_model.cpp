#include "loop/reward_model.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "klmesh/error.hpp"
#include "loop/vocabulary.hpp"

namespace klmesh::loop {
namespace {

// One tensor for what Adam steps, one for the loss: both travel in one exchange.
constexpr int kScores = 0;
constexpr int kLoss = 1;

bool is_word(std::int32_t token) { return token >= Vocabulary::special_tokens; }

/// log(1 + e^x), without overflow.
double softplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

std::int64_t checked_size(std::int64_t vocab_size) {
  if (vocab_size < 1) throw InvalidArgument("reward model: the vocabulary is empty");
  return vocab_size;
}

}  // namespace

RewardModel::RewardModel(TensorOps& host, std::int64_t vocab_size, const RewardConfig& reward, const AdamConfig& adam)
    : ops_(&host),
      reward_(reward),
      scores_(host, "reward scores", checked_size(vocab_size)),
      gradient_({{"reward scores", vocab_size}, {"reward loss", 1}}),
      optimizer_(host, adam, vocab_size) {
  if (host.memory() != TensorOps::Memory::host) throw InvalidArgument("reward model: not in the host's memory");
}

TextReward RewardModel::reward_of(std::span<const std::int32_t> tokens) const noexcept {
  return text_reward(scores().data(), scores_.size(), tokens.data(), static_cast<std::int64_t>(tokens.size()),
                     reward_.min_words);
}

void RewardModel::add_pair(const PreferencePair& pair, double weight) {
  const TextReward preferred = reward_of(pair.preferred);
  const TextReward rejected = reward_of(pair.rejected);
  if (!preferred.valid || !rejected.valid) return gradient_.invalidate(kScores);
  const double margin = preferred.mean - rejected.mean;
  gradient_.add(kLoss, 0, weight * softplus(-margin));
  // d softplus(-margin) / d margin = -1 / (1 + e^margin)
  const double slope = -weight / (1.0 + std::exp(margin));
  const auto add_words = [&](std::span<const std::int32_t> tokens, double per_word) {
    for (const std::int32_t token : tokens) {
      if (is_word(token)) gradient_.add(kScores, token, per_word);
    }
  };
  add_words(pair.preferred, slope / preferred.divisor);
  add_words(pair.rejected, -slope / rejected.divisor);
}

double RewardModel::step(std::span<const PreferencePair> local_pairs, std::int64_t total_pairs,
                         Communicator& world) {
  if (total_pairs < 1) throw InvalidArgument("reward model: a step needs at least one pair");
  gradient_.clear();
  for (const PreferencePair& pair : local_pairs) add_pair(pair, 1.0 / static_cast<double>(total_pairs));
  gradient_.all_reduce(world);
  gradient_.check();
  optimizer_.step(scores(), gradient_.words(kScores), reward_.learning_rate, reward_.weight_decay);
  return gradient_.read(kLoss, 0);
}

double RewardModel::score(std::span<const std::int32_t> tokens) const {
  const TextReward text = reward_of(tokens);
  if (!text.valid) throw InvalidData(fmt::format("reward model: a word is outside 0..{}", scores_.size() - 1));
  return text.mean;
}

double RewardModel::accuracy(std::span<const PreferencePair> pairs) const {
  double right = 0;
  for (const PreferencePair& pair : pairs) {
    const double margin = score(pair.preferred) - score(pair.rejected);
    if (margin > 0) right += 1.0;
    if (margin == 0) right += 0.5;
  }
  return pairs.empty() ? std::numeric_limits<double>::quiet_NaN() : right / static_cast<double>(pairs.size());
}

}  // namespace klmesh::loop
