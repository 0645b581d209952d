// Exact sums over tokens in device memory: what StepSums is on the host.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "klmesh/statistics.hpp"

namespace klmesh {

/// Made by Engine::make_device_sums(), on the engine's device, for engines of the same back end. Any order of
/// accumulate(), any split over ranks: the same bits as on the host. Move-only; owns its memory.
class DeviceStepSums {
 public:
  /// What a back end keeps.
  class Storage {
   public:
    virtual ~Storage() = default;
  };

  DeviceStepSums(std::unique_ptr<Storage> storage, std::int64_t sequences, QuantitySet quantities)
      : storage_(std::move(storage)), sequences_(sequences), quantities_(quantities) {}

  std::int64_t sequences() const noexcept { return sequences_; }
  QuantitySet quantities() const noexcept { return quantities_; }
  Storage& storage() noexcept { return *storage_; }

 private:
  std::unique_ptr<Storage> storage_;
  std::int64_t sequences_;
  QuantitySet quantities_;
};

}  // namespace klmesh
