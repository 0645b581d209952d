// How fast the kernels are, against two floors that are measured in the same run: moving what they move and doing nothing
// else, and a frozen reference loop on data in the first-level cache (floors.hpp). One thread.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>

#include "interleaved.hpp"
#include "kernel_case.hpp"

namespace klmesh::bench {
namespace {

struct Options {
  bool quick = false;
  int rounds = 7;
  int repetitions = 15;
  std::int64_t pool_megabytes = 256;
  std::vector<std::int64_t> vocab_sizes = {32000, 50257, 128256, 151936};
  std::vector<std::int64_t> rows = {1, 64, 4096, 65536};
  std::string json;
};

struct Result {
  std::string kernel, kind;
  DType dtype;
  std::int64_t vocab_size, rows;
  double kernel_ns, loop_ns, memory_ns;  // a pair, medians over the rounds
  Spread ratio;                        // slower floor / kernel
  double gigabytes_per_second;
};

const char* name_of(DType dtype) {
  return dtype == DType::f32 ? "f32" : dtype == DType::bf16 ? "bf16" : dtype == DType::f16 ? "f16" : "f64";
}

Result measure(KernelCase& piece, DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind,
               const Options& options) {
  const auto seconds = interleaved<3>({[&] { piece.kernel(); }, [&] { piece.arithmetic(); }, [&] { piece.memory(); }},
                                      options.rounds, options.repetitions);
  std::vector<double> kernel_ns, loop_ns, memory_ns, ratio;
  for (const auto& round : seconds) {
    kernel_ns.push_back(1e9 * round[0] / static_cast<double>(piece.pairs()));
    loop_ns.push_back(1e9 * round[1] / static_cast<double>(piece.loop_pairs()));
    memory_ns.push_back(1e9 * round[2] / static_cast<double>(piece.pairs()));
    ratio.push_back(std::max(loop_ns.back(), memory_ns.back()) / kernel_ns.back());
  }
  const double ns = spread(kernel_ns).median;
  return {piece.name(), kind.name, dtype, vocab_size, rows, ns, spread(loop_ns).median, spread(memory_ns).median,
          spread(ratio), piece.streams() * static_cast<double>(dtype_bytes(dtype)) / ns};
}

void print_head(std::FILE* out) {
  fmt::print(out, "# klmesh kernel_bench   instruction set {}   one thread\n", instruction_set());
  fmt::print(out, "# ratio = slower floor / kernel; loop: frozen reference loop, memory: reading both sides, writing one for a\n# gradient, and no more\n");
  fmt::print(out, "#{:>8} {:>5} {:>12} {:>8} {:>7} {:>9} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7}\n", "kernel", "type", "kind",
             "vocab", "rows", "kernel", "GB/s", "loop", "memory", "ratio", "min", "max");
  fmt::print(out, "#{:>8} {:>5} {:>12} {:>8} {:>7} {:>9} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7}\n", "", "", "", "", "",
             "(ns/pair)", "", "(ns)", "(ns)", "(median)", "", "");
}

void print(std::FILE* out, const Result& r) {
  fmt::print(out, " {:>8} {:>5} {:>12} {:>8} {:>7} {:>9.3f} {:>8.2f} {:>8.3f} {:>8.3f} {:>8.3f} {:>7.3f} {:>7.3f}\n", r.kernel,
             name_of(r.dtype), r.kind, r.vocab_size, r.rows, r.kernel_ns, r.gigabytes_per_second, r.loop_ns, r.memory_ns,
             r.ratio.median, r.ratio.min, r.ratio.max);
  std::fflush(out);
}

nlohmann::ordered_json json_of(const std::vector<Result>& results) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Result& r : results) {
    rows.push_back({{"kernel", r.kernel}, {"dtype", name_of(r.dtype)}, {"kind", r.kind}, {"vocab_size", r.vocab_size},
                    {"rows", r.rows}, {"kernel_ns_per_pair", r.kernel_ns}, {"loop_ns_per_pair", r.loop_ns},
                    {"memory_ns_per_pair", r.memory_ns}, {"gigabytes_per_second", r.gigabytes_per_second},
                    {"ratio", {{"median", r.ratio.median}, {"min", r.ratio.min}, {"max", r.ratio.max}}}});
  }
  return {{"schema", "klmesh.kernel_bench/1"}, {"instruction_set", instruction_set()}, {"threads", 1}, {"results", rows}};
}

// Every kind at one shape, then every shape at the first kind: the whole product would say little more.
std::vector<Result> measure_all(const Options& options, std::FILE* table) {
  std::vector<Result> results;
  const std::int64_t pool_bytes = options.pool_megabytes << 20;
  const auto add = [&](DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind, auto&& piece) {
    results.push_back(measure(piece, dtype, vocab_size, rows, kind, options));
    print(table, results.back());
  };
  const auto forward = [&](DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind) {
    add(dtype, vocab_size, rows, kind, KernelCase(dtype, vocab_size, rows, kind, pool_bytes));
  };
  const auto gradient = [&](DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind) {
    add(dtype, vocab_size, rows, kind, GradientCase(dtype, vocab_size, rows, kind, pool_bytes));
  };
  const std::vector<RowKind> kinds = row_kinds();
  const std::int64_t some_rows = options.quick ? 2 : 256;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const RowKind& kind : kinds) forward(dtype, options.vocab_sizes.front(), some_rows, kind);
    for (const RowKind& kind : kinds) gradient(dtype, options.vocab_sizes.front(), some_rows, kind);
    for (const std::int64_t vocab_size : options.vocab_sizes) {
      for (const std::int64_t rows : options.rows) {
        forward(dtype, vocab_size, rows, kinds.front());
        gradient(dtype, vocab_size, rows, kinds.front());
      }
    }
  }
  return results;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Speed of the kernels against floors measured in the same run");
  app.add_flag("--quick", options.quick, "Small and short: shows that it runs, not how fast");
  app.add_option("--rounds", options.rounds, "Rounds; the ratio's spread is over them")->check(CLI::PositiveNumber);
  app.add_option("--repetitions", options.repetitions, "Repetitions a round, of which the least counts")
      ->check(CLI::PositiveNumber);
  app.add_option("--pool", options.pool_megabytes, "MiB of logits at most")->check(CLI::PositiveNumber);
  app.add_option("--vocab", options.vocab_sizes, "Vocabulary sizes; the kinds of rows are measured at the first")
      ->check(CLI::PositiveNumber);
  app.add_option("--rows", options.rows, "Rows of a batch")->check(CLI::PositiveNumber);
  app.add_option("--json", options.json, "Write the results to a file; - is standard output, without the table");
  CLI11_PARSE(app, argc, argv);
  if (options.quick) {
    options.rounds = options.repetitions = 2;
    options.pool_megabytes = 4;
    options.vocab_sizes = {5000};
    options.rows = {1, 3};
  }

  std::FILE* table = options.json == "-" ? stderr : stdout;
  print_head(table);
  const nlohmann::ordered_json json = json_of(measure_all(options, table));
  if (options.json == "-") {
    std::cout << json.dump(1) << '\n';
  } else if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << json.dump(1) << '\n';
    if (!file.flush()) {
      fmt::print(stderr, "kernel_bench: {}: cannot be written\n", options.json);
      return 74;
    }
  }
  return 0;
}

}  // namespace
}  // namespace klmesh::bench

int main(int argc, char** argv) { return klmesh::bench::run(argc, argv); }
