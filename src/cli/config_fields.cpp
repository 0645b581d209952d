#include "cli/config_fields.hpp"

#include <algorithm>
#include <array>

namespace klmesh::cli {
namespace {

using Config = loop::TrainConfig;

constexpr std::array<std::string_view, 6> kArms{"exact_reward", "k1_reward", "exact_loss",
                                                "k2_loss",      "k3_loss",   "none"};

constexpr std::array<std::string_view, 4> kDistillations{"forward", "reverse", "jensen_shannon", "data"};
constexpr std::array<std::string_view, 2> kControllers{"fixed", "adaptive"};

constexpr Limits at_least(double low) { return {.low = low}; }
constexpr Limits above(double low) { return {.low = low, .low_open = true}; }
constexpr Limits between(double low, double high) { return {.low = low, .high = high}; }
constexpr Limits inside(double low, double high) {
  return {.low = low, .high = high, .low_open = true, .high_open = true};
}
constexpr Limits below_one() { return {.low = 0, .high = 1, .high_open = true}; }

// &c.<member>, as the type-erased address that a Field keeps.
template <auto Section, auto Name>
Member in(Config& c) {
  return &(c.*Section.*Name);
}

using C = Config;
using D = loop::DataConfig;
using M = loop::ModelConfig;
using A = loop::AdamConfig;
using L = loop::MleConfig;
using W = loop::RewardConfig;
using R = loop::RlhfConfig;
using T = loop::DistillConfig;
using P = loop::LoopConfig;
using K = loop::CheckpointConfig;

// clang-format off
const std::array kFields{
  Field{"seed", [](C& c) -> Member { return &c.seed; }, at_least(0), "of all random numbers"},

  Field{"data.paths", in<&C::data, &D::paths>, {}, "text files, or directories of them", true},
  Field{"data.exclude", in<&C::data, &D::exclude>, {.may_be_empty = true}, "subjects (file names) that directories are read without"},
  Field{"data.vocab_size", in<&C::data, &D::vocab_size>, between(8, 1 << 24), "words kept, special tokens included"},
  Field{"data.validation_fraction", in<&C::data, &D::validation_fraction>, inside(0, 0.5), "of the texts: for choices made while training"},
  Field{"data.heldout_fraction", in<&C::data, &D::heldout_fraction>, inside(0, 0.5), "of the texts: reported, never tuned on"},

  Field{"model.context", in<&C::model, &M::context>, between(1, 256), "preceding words the model sees"},
  Field{"model.embedding", in<&C::model, &M::embedding>, between(1, 65536), "width of a word's embedding"},
  Field{"model.hidden", in<&C::model, &M::hidden>, between(1, 65536), "width of the hidden layer"},
  Field{"model.head_multiple", in<&C::model, &M::head_multiple>, between(1, 65536), "columns of a rank's output head are padded to a multiple of it"},

  Field{"adam.beta1", in<&C::adam, &A::beta1>, below_one(), "decay of the gradient's mean"},
  Field{"adam.beta2", in<&C::adam, &A::beta2>, below_one(), "decay of the gradient's square"},
  Field{"adam.epsilon", in<&C::adam, &A::epsilon>, above(0), "added to the root of the square"},

  Field{"mle.steps", in<&C::mle, &L::steps>, at_least(0), "phase 1, maximum likelihood"},
  Field{"mle.batch_tokens", in<&C::mle, &L::batch_tokens>, at_least(1), "tokens a step, over all ranks"},
  Field{"mle.learning_rate", in<&C::mle, &L::learning_rate>, above(0), "at the first step"},
  Field{"mle.final_learning_rate", in<&C::mle, &L::final_learning_rate>, at_least(0), "at the last step, by cosine decay"},
  Field{"mle.weight_decay", in<&C::mle, &L::weight_decay>, at_least(0), "decoupled from the gradient"},
  Field{"mle.evaluate_every", in<&C::mle, &L::evaluate_every>, at_least(0), "steps between held-out perplexities; 0: at the end alone"},

  Field{"reward.steps", in<&C::reward, &W::steps>, at_least(0), "phase 2, reward model"},
  Field{"reward.preferred", in<&C::reward, &W::preferred>, {}, "subject whose texts are preferred (file name)"},
  Field{"reward.rejected", in<&C::reward, &W::rejected>, {}, "to texts of this one"},
  Field{"reward.pairs", in<&C::reward, &W::pairs>, at_least(1), "preference pairs a step, over all ranks"},
  Field{"reward.learning_rate", in<&C::reward, &W::learning_rate>, above(0), "constant"},
  Field{"reward.weight_decay", in<&C::reward, &W::weight_decay>, at_least(0), "decoupled from the gradient"},
  Field{"reward.min_words", in<&C::reward, &W::min_words>, at_least(1), "shorter texts are averaged over as many words"},

  Field{"rlhf.steps", in<&C::rlhf, &R::steps>, at_least(0), "phase 3, policy gradient; of every arm"},
  Field{"rlhf.arms", in<&C::rlhf, &R::arms>, {.choices = kArms}, "kinds of KL penalty, from the same start"},
  Field{"rlhf.beta", in<&C::rlhf, &R::beta>, at_least(0), "weight of the penalty, reward per nat; of the first step, if it is adaptive"},
  Field{"rlhf.controller", in<&C::rlhf, &R::controller>, {.choices = kControllers}, "of beta; adaptive: steers the exact KL to target_kl"},
  Field{"rlhf.target_kl", in<&C::rlhf, &R::target_kl>, above(0), "adaptive: exact KL, mean over tokens, nats a token"},
  Field{"rlhf.horizon", in<&C::rlhf, &R::horizon>, above(0), "adaptive: sequences over which beta may change by a fifth"},
  Field{"rlhf.stop_kl", in<&C::rlhf, &R::stop_kl>, at_least(0), "an arm ends with the step whose exact KL is above, nats a token; 0: never"},
  Field{"rlhf.sequences", in<&C::rlhf, &R::sequences>, at_least(1), "sampled a step, over all ranks"},
  Field{"rlhf.length", in<&C::rlhf, &R::length>, at_least(1), "tokens a sequence at most"},
  Field{"rlhf.learning_rate", in<&C::rlhf, &R::learning_rate>, above(0), "constant"},

  Field{"student.context", in<&C::student, &M::context>, between(1, 256), "preceding words the student sees"},
  Field{"student.embedding", in<&C::student, &M::embedding>, between(1, 65536), "width of a word's embedding"},
  Field{"student.hidden", in<&C::student, &M::hidden>, between(1, 65536), "width of the hidden layer"},
  Field{"student.head_multiple", in<&C::student, &M::head_multiple>, between(1, 65536), "columns of a rank's output head are padded to a multiple of it"},

  Field{"distill.steps", in<&C::distill, &T::steps>, at_least(0), "phase 4, students of the policy of phase 1; of every arm"},
  Field{"distill.arms", in<&C::distill, &T::arms>, {.choices = kDistillations}, "divergences from the teacher, from the same start; data: maximum likelihood without it"},
  Field{"distill.temperature", in<&C::distill, &T::temperature>, above(0), "of both distributions in the divergence"},
  Field{"distill.data_weight", in<&C::distill, &T::data_weight>, between(0, 1), "of maximum likelihood in the loss; the divergence has the rest"},
  Field{"distill.batch_tokens", in<&C::distill, &T::batch_tokens>, at_least(1), "tokens a step, over all ranks"},
  Field{"distill.learning_rate", in<&C::distill, &T::learning_rate>, above(0), "at the first step"},
  Field{"distill.final_learning_rate", in<&C::distill, &T::final_learning_rate>, at_least(0), "at the last step, by cosine decay"},
  Field{"distill.weight_decay", in<&C::distill, &T::weight_decay>, at_least(0), "decoupled from the gradient"},
  Field{"distill.evaluate_every", in<&C::distill, &T::evaluate_every>, at_least(0), "steps between held-out perplexities; 0: at the end alone"},

  Field{"loop.first_phase", in<&C::loop, &P::first_phase>, between(1, 3), "start there, from the seeded parameters"},
  Field{"loop.report_every", in<&C::loop, &P::report_every>, at_least(1), "steps between lines on the console"},

  Field{"checkpoint.every", in<&C::checkpoint, &K::every>, at_least(0), "steps between generations; 0: at the end of phases alone"},
  Field{"checkpoint.keep", in<&C::checkpoint, &K::keep>, at_least(2), "generations kept"},
};
// clang-format on

}  // namespace

std::span<const Field> config_fields() { return kFields; }

const Field* find_field(std::string_view key) {
  const auto found = std::ranges::find(kFields, key, &Field::key);
  return found == kFields.end() ? nullptr : &*found;
}

std::string_view section_of(std::string_view key) {
  const auto dot = key.find('.');
  return dot == std::string_view::npos ? std::string_view{} : key.substr(0, dot);
}

}  // namespace klmesh::cli
