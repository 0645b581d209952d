#include "loop/kl_controller.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "klmesh/error.hpp"

namespace klmesh::loop {
namespace {

constexpr double kLargestError = 0.2;

double gain_of(const RlhfConfig& config) { return static_cast<double>(config.sequences) / config.horizon; }

}  // namespace

std::string_view name(Controller controller) noexcept {
  return controller == Controller::fixed ? "fixed" : "adaptive";
}

Controller parse_controller(std::string_view text) {
  for (const Controller controller : {Controller::fixed, Controller::adaptive}) {
    if (name(controller) == text) return controller;
  }
  throw InvalidData(fmt::format("rlhf.controller: \"{}\" is none of fixed, adaptive", text));
}

void require_controllable(const RlhfConfig& config) {
  if (parse_controller(config.controller) == Controller::fixed) return;
  if (!(config.beta > 0)) throw InvalidData("rlhf.beta must be > 0 for an adaptive controller, which multiplies it");
  if (!(config.target_kl > 0)) throw InvalidData("rlhf.target_kl must be > 0 for an adaptive controller");
  if (!(kLargestError * gain_of(config) < 1)) {
    throw InvalidData(fmt::format("rlhf.horizon must be > {} sequences, a fifth of a step's, or beta would become negative",
                                  kLargestError * static_cast<double>(config.sequences)));
  }
}

KlController::KlController(Penalty penalty, const RlhfConfig& config)
    : controller_(parse_controller(config.controller)),
      target_kl_(config.target_kl),
      gain_(gain_of(config)),
      beta_(penalty == Penalty::none ? 0.0 : config.beta) {
  require_controllable(config);
}

void KlController::update(double kl) noexcept {
  if (controller_ == Controller::fixed) return;
  const double error = std::clamp(kl / target_kl_ - 1.0, -kLargestError, kLargestError);
  beta_ *= 1.0 + error * gain_;
}

bool goes_too_far(double kl, const RlhfConfig& config) noexcept { return config.stop_kl > 0 && kl > config.stop_kl; }

}  // namespace klmesh::loop
