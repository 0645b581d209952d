// A manifest in which every value is another one.
#pragma once

#include "io/generation_manifest.hpp"
#include "io/sha256.hpp"

namespace klmesh::io {

inline Manifest example_manifest() {
  Manifest m;
  m.config_toml = "seed = 1\n[mle]\nsteps = 4  # \"quoted\" \\ µ\n";
  m.config_sha256 = sha256_hex("config");
  m.corpus = "0123456789abcdef";
  m.phase = 3;
  m.arm = 1;
  m.arm_name = "none";
  m.step = 17;
  m.mesh = "1x2";
  m.shapes = {{"vocab_size", 300}, {"hidden", 10}};
  m.files = {{"state-0.h5", 3, sha256_hex("abc"), 0, 160}, {"state-1.h5", 4, sha256_hex("defg"), 160, 300}};
  return m;
}

}  // namespace klmesh::io
