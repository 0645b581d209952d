// The weight of the KL penalty from step to step, and when an arm has gone far enough.
#pragma once

#include <cstdint>
#include <string_view>

#include "loop/penalty.hpp"
#include "loop/train_config.hpp"

namespace klmesh::loop {

enum class Controller { fixed, adaptive };

/// The name that configurations use.
std::string_view name(Controller controller) noexcept;
/// @throws InvalidData listing the names
Controller parse_controller(std::string_view name);

/// Are the settings of the controller such that beta stays positive, whatever the KL?
/// @throws InvalidData naming the setting
void require_controllable(const RlhfConfig& config);

/// Beta, the weight of the penalty. Fixed, or with a proportional controller that steers the KL to a target:
///
///   e = clip(KL / rlhf.target_kl - 1, -0.2, 0.2),   beta *= 1 + e * rlhf.sequences / rlhf.horizon
///
/// KL is the exact KL[policy||reference] of a step's tokens, the mean over tokens (nats a token), not an estimate of it:
/// what the record calls kl_reverse_mean, so that anybody can redo /steps/beta. It is equal on all ranks, and so is beta.
/// Source: Ziegler et al. 2019, Fine-Tuning Language Models from Human Preferences, section 2.2, whose gain 0.1 a step is
/// a horizon of ten steps' sequences; there KL is sampled and summed over a sequence.
class KlController {
 public:
  /// An arm without a penalty has beta 0 throughout. @throws InvalidData as require_controllable()
  KlController(Penalty penalty, const RlhfConfig& config);

  /// Of the step to come.
  double beta() const noexcept { return beta_; }

  /// After a step whose exact KL was `kl` nats a token.
  void update(double kl) noexcept;

  /// Goes on with the beta of a checkpoint.
  void restore(double beta) noexcept { beta_ = beta; }

 private:
  Controller controller_;
  double target_kl_;
  double gain_;  // sequences / horizon
  double beta_;
};

/// Does an arm end with a step of this exact KL (nats a token)? Never, if rlhf.stop_kl is 0.
bool goes_too_far(double kl, const RlhfConfig& config) noexcept;

}  // namespace klmesh::loop
