// Everything a training run can be told, with its defaults. The program reads it from TOML; the loop only sees this.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace klmesh::loop {

struct DataConfig {
  std::vector<std::string> paths{"/usr/share/games/fortunes"};  ///< text files, or directories of them
  /// subjects (file names) that directories are read without: pictures rather than text
  std::vector<std::string> exclude{"ascii-art", "translate-me"};
  std::int64_t vocab_size = 19456;    ///< most frequent words of the training part, special tokens included
  double validation_fraction = 0.05;  ///< of the texts: tunes the baselines, picks the best parameters
  double heldout_fraction = 0.05;     ///< of the texts: reported, never tuned on
};

struct ModelConfig {
  int context = 4;     ///< preceding words the n-gram model sees
  int embedding = 32;  ///< width of a word's input embedding
  int hidden = 64;     ///< width of the hidden layer
  /// Each rank's part of the output head is padded to a multiple of so many columns, as trainers pad vocabularies.
  int head_multiple = 1;
};

struct AdamConfig {
  double beta1 = 0.9;
  double beta2 = 0.99;
  double epsilon = 1e-8;
};

struct MleConfig {
  std::int64_t steps = 1000;
  std::int64_t batch_tokens = 1024;
  double learning_rate = 3e-3;
  double final_learning_rate = 3e-4;  ///< cosine decay to this
  double weight_decay = 0.0;          ///< decoupled (AdamW)
  std::int64_t evaluate_every = 0;    ///< steps between held-out perplexities; 0: at the end alone
};

struct RewardConfig {
  std::int64_t steps = 300;
  std::string preferred = "science";     ///< subject (file name) whose texts are preferred
  std::string rejected = "songs-poems";  ///< to texts of this one
  std::int64_t pairs = 64;               ///< preference pairs a step
  double learning_rate = 2e-2;
  double weight_decay = 1e-2;
  std::int64_t min_words = 16;           ///< shorter texts are averaged over as many words as this
};

struct RlhfConfig {
  std::int64_t steps = 150;
  /// exact_reward, k1_reward, exact_loss, k2_loss, k3_loss, none
  std::vector<std::string> arms{"exact_reward", "none"};
  double beta = 0.1;             ///< weight of the KL penalty, nats of KL to units of reward; of the first step
  std::string controller = "fixed";  ///< of beta: fixed, adaptive; see KlController
  double target_kl = 0.05;       ///< adaptive: the exact KL to steer to, mean over tokens, nats a token
  double horizon = 640;          ///< adaptive: sequences over which beta may change by a fifth
  double stop_kl = 0;            ///< an arm ends with the step whose exact KL is above, nats a token; 0: never
  std::int64_t sequences = 64;   ///< sampled a step
  std::int64_t length = 16;      ///< tokens a sequence at most
  double learning_rate = 1e-3;
};

struct DistillConfig {
  std::int64_t steps = 0;             ///< of every arm; 0: no student
  /// forward, reverse, jensen_shannon: divergence from the teacher; data: maximum likelihood without it
  std::vector<std::string> arms{"forward"};
  double temperature = 1;             ///< of both distributions in the divergence
  double data_weight = 0;             ///< of maximum likelihood in the loss; the divergence has the rest
  std::int64_t batch_tokens = 1024;
  double learning_rate = 5e-3;
  double final_learning_rate = 3e-4;  ///< cosine decay to this
  double weight_decay = 0.0;          ///< decoupled (AdamW)
  std::int64_t evaluate_every = 0;    ///< steps between held-out perplexities; 0: at the end alone
};

struct LoopConfig {
  int first_phase = 1;            ///< 1, 2 or 3: start there, from the seeded parameters
  std::int64_t report_every = 10; ///< steps between lines on the console
};

struct CheckpointConfig {
  std::int64_t every = 100;  ///< steps between generations; 0: at the end of phases, and where a run is stopped, alone
  std::int64_t keep = 2;     ///< generations kept, at least 2
};

struct TrainConfig {
  std::uint64_t seed = 1;
  DataConfig data;
  ModelConfig model;
  AdamConfig adam;
  MleConfig mle;
  RewardConfig reward;
  RlhfConfig rlhf;
  ModelConfig student{.context = 2, .embedding = 16, .hidden = 32};
  DistillConfig distill;
  LoopConfig loop;
  CheckpointConfig checkpoint;
};

}  // namespace klmesh::loop
