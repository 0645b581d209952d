// Student and teacher on text that neither saw.
#pragma once

#include <cstdint>

#include "klmesh/engine.hpp"
#include "loop/distill_phase.hpp"
#include "loop/policy.hpp"

namespace klmesh::loop {

/// Means over all held-out positions, at temperature 1.
struct DistillHeldout {
  std::int64_t tokens = 0;
  double student_perplexity = 0, teacher_perplexity = 0;
  double kl_forward = 0;      ///< KL[teacher||student], nats a token
  double kl_reverse = 0;      ///< KL[student||teacher], nats a token
  double jensen_shannon = 0;  ///< nats a token
};

/// Collective over the world of the mesh. Blocks; in the host's memory the same bits on every mesh of whole subtrees.
DistillHeldout evaluate_student(Engine& engine, const Policy& teacher, const Policy& student,
                                const DistillExamples& examples);

}  // namespace klmesh::loop
