// consumer_record DIRECTORY: writes DIRECTORY/statistics.h5, in the columns of `klmesh train`, and DIRECTORY/logits.h5,
// which `klmesh eval` reads.
#include <klmesh/eval_file.hpp>
#include <klmesh/standard_columns.hpp>
#include <klmesh/statistics_log.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

namespace {

void record_two_steps(const std::filesystem::path& directory) {
  klmesh::io::StatisticsLog log({.config_toml = "seed = 1\n",
                                 .mesh = "1x1",
                                 .created_utc = "2025-01-31T12:00:00Z",
                                 .library_version = "trainer 1.0"},
                                klmesh::io::standard_columns(), {{"step_seconds", "s", "wall-clock time of the step"}});
  for (std::int64_t step = 1; step <= 2; ++step) {
    const std::array values{klmesh::io::NamedValue{"kl_reverse_mean", 0.125 * static_cast<double>(step)},
                            klmesh::io::NamedValue{"tokens", 512}};
    const std::array timing{klmesh::io::NamedValue{"step_seconds", 0.5}};
    log.append(3, step, values, timing);
    log.commit(directory / "statistics.h5");  // whole every time: a reader never sees half a file
  }
}

// Four tokens whose policy and reference differ by one logit.
void dump_logits(const std::filesystem::path& directory) {
  constexpr std::int64_t tokens = 4, vocab = 8;
  std::vector<float> policy(tokens * vocab, 0.0F), reference(tokens * vocab, 0.0F);
  const std::vector<std::int64_t> targets{0, 1, 2, 3};
  for (std::size_t row = 0; row < tokens; ++row) reference[row * vocab] = 1.0F;
  klmesh::io::commit_eval_file(directory / "logits.h5", {.tokens = tokens,
                                                         .vocab_size = vocab,
                                                         .policy_columns = vocab,
                                                         .reference_columns = vocab,
                                                         .policy_logits = policy,
                                                         .reference_logits = reference,
                                                         .targets = targets,
                                                         .mask = {},
                                                         .sequence = {},
                                                         .config_toml = {}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 64;
  try {
    record_two_steps(argv[1]);
    dump_logits(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "consumer_record: %s\n", error.what());
    return 1;
  }
  return 0;
}
