// How fast the kernels are, against two floors that are measured in the same run: reading the logits and doing nothing
// else, and a frozen reference loop on data in the first-level cache (floors.hpp). One thread.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>

#include "core/kernels.hpp"
#include "floors.hpp"
#include "interleaved.hpp"
#include "logit_pool.hpp"

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
  double kernel_ns, loop_ns, read_ns;  // a pair, medians over the rounds
  Spread ratio;                        // slower floor / kernel
  double gigabytes_per_second;
};

const char* name_of(DType dtype) {
  return dtype == DType::f32 ? "f32" : dtype == DType::bf16 ? "bf16" : dtype == DType::f16 ? "f16" : "f64";
}

volatile std::uint64_t sink;  // what is measured must not be optimised away

// Pieces of a batch, one after another, of about the same size for every shape.
class ForwardCase {
 public:
  ForwardCase(DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind, const Options& options)
      : dtype_(dtype), kind_(kind), shard_(vocab_shard(vocab_size, 0, 1)), rows_(rows),
        piece_rows_(std::clamp<std::int64_t>(400000 / vocab_size, 1, rows)),
        pool_(dtype, vocab_size, rows, kind, options.pool_megabytes << 20),
        partials_(static_cast<std::size_t>(piece_rows_)), loop_a_(kLoopBytes), loop_b_(kLoopBytes) {
    const std::vector<float> a(kLoopColumns, -0.5f), b(kLoopColumns, -0.7f);
    std::copy_n(reinterpret_cast<const std::byte*>(a.data()), kLoopBytes, loop_a_.data());
    std::copy_n(reinterpret_cast<const std::byte*>(b.data()), kLoopBytes, loop_b_.data());
  }

  Result measure(const Options& options) {
    const std::int64_t pairs = piece_rows_ * shard_.columns();
    const std::int64_t loops = pairs / kLoopColumns + 1;
    const auto seconds = interleaved<3>({[&] { kernel(); }, [&] { reference(loops); }, [&] { read(); }}, options.rounds,
                                        options.repetitions);
    std::vector<double> kernel_ns, loop_ns, read_ns, ratio;
    for (const auto& round : seconds) {
      kernel_ns.push_back(1e9 * round[0] / static_cast<double>(pairs));
      loop_ns.push_back(1e9 * round[1] / static_cast<double>(loops * kLoopColumns));
      read_ns.push_back(1e9 * round[2] / static_cast<double>(pairs));
      ratio.push_back(std::max(loop_ns.back(), read_ns.back()) / kernel_ns.back());
    }
    const double ns = spread(kernel_ns).median;
    return {"forward", kind_.name, dtype_, shard_.vocab_size, rows_, ns, spread(loop_ns).median,
            spread(read_ns).median, spread(ratio), 2.0 * static_cast<double>(dtype_bytes(dtype_)) / ns};
  }

 private:
  static constexpr std::int64_t kLoopColumns = 2048;
  static constexpr std::size_t kLoopBytes = kLoopColumns * sizeof(float);

  void kernel() {
    const std::int64_t first = next();
    cpu::row_partials(pool_.policy(first, piece_rows_), pool_.reference(first, piece_rows_), shard_, {}, partials_, {});
    sink = partials_[0].flags;
  }
  void reference(std::int64_t loops) {
    for (std::int64_t i = 0; i < loops; ++i) {
      sink = static_cast<std::uint64_t>(reference_loop(dtype_, loop_a_.data(), loop_b_.data(), kLoopColumns) != 0.0f);
    }
  }
  void read() {
    const std::int64_t first = next();
    const LogitsView a = pool_.policy(first, piece_rows_), b = pool_.reference(first, piece_rows_);
    const std::int64_t bytes = shard_.columns() * static_cast<std::int64_t>(dtype_bytes(dtype_));
    for (std::int64_t row = 0; row < piece_rows_; ++row) {
      const std::int64_t offset = a.memory_row(row) * bytes;
      sink = read_both(static_cast<const std::byte*>(a.data) + offset, static_cast<const std::byte*>(b.data) + offset, bytes);
    }
  }
  // Kernel and reader walk through the batch together, so neither finds in the cache what the other left there.
  std::int64_t next() {
    const std::int64_t first = position_;
    position_ = position_ + 2 * piece_rows_ > rows_ ? 0 : position_ + piece_rows_;
    return first;
  }

  DType dtype_;
  RowKind kind_;
  VocabShard shard_;
  std::int64_t rows_, piece_rows_, position_ = 0;
  LogitPool pool_;
  std::vector<RowPartial> partials_;
  std::vector<std::byte> loop_a_, loop_b_;
};

void print_head(std::FILE* out) {
  fmt::print(out, "# klmesh kernel_bench   instruction set {}   one thread\n", instruction_set());
  fmt::print(out, "# ratio = slower floor / kernel; loop: frozen reference loop, read: streaming read of both sides\n");
  fmt::print(out, "#{:>8} {:>5} {:>12} {:>8} {:>7} {:>9} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7}\n", "kernel", "type", "kind",
             "vocab", "rows", "kernel", "GB/s", "loop", "read", "ratio", "min", "max");
  fmt::print(out, "#{:>8} {:>5} {:>12} {:>8} {:>7} {:>9} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7}\n", "", "", "", "", "",
             "(ns/pair)", "", "(ns)", "(ns)", "(median)", "", "");
}

void print(std::FILE* out, const Result& r) {
  fmt::print(out, " {:>8} {:>5} {:>12} {:>8} {:>7} {:>9.3f} {:>8.2f} {:>8.3f} {:>8.3f} {:>8.3f} {:>7.3f} {:>7.3f}\n", r.kernel,
             name_of(r.dtype), r.kind, r.vocab_size, r.rows, r.kernel_ns, r.gigabytes_per_second, r.loop_ns, r.read_ns,
             r.ratio.median, r.ratio.min, r.ratio.max);
  std::fflush(out);
}

nlohmann::ordered_json json_of(const std::vector<Result>& results) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Result& r : results) {
    rows.push_back({{"kernel", r.kernel}, {"dtype", name_of(r.dtype)}, {"kind", r.kind}, {"vocab_size", r.vocab_size},
                    {"rows", r.rows}, {"kernel_ns_per_pair", r.kernel_ns}, {"loop_ns_per_pair", r.loop_ns},
                    {"read_ns_per_pair", r.read_ns}, {"gigabytes_per_second", r.gigabytes_per_second},
                    {"ratio", {{"median", r.ratio.median}, {"min", r.ratio.min}, {"max", r.ratio.max}}}});
  }
  return {{"schema", "klmesh.kernel_bench/1"}, {"instruction_set", instruction_set()}, {"threads", 1}, {"results", rows}};
}

// Every kind at one shape, then every shape at the first kind: the whole product would say little more.
std::vector<Result> measure_all(const Options& options, std::FILE* table) {
  std::vector<Result> results;
  const auto measure = [&](DType dtype, std::int64_t vocab_size, std::int64_t rows, const RowKind& kind) {
    results.push_back(ForwardCase(dtype, vocab_size, rows, kind, options).measure(options));
    print(table, results.back());
  };
  const std::vector<RowKind> kinds = row_kinds();
  const std::int64_t some_rows = options.quick ? 2 : 256;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const RowKind& kind : kinds) measure(dtype, options.vocab_sizes.front(), some_rows, kind);
    for (const std::int64_t vocab_size : options.vocab_sizes) {
      for (const std::int64_t rows : options.rows) measure(dtype, vocab_size, rows, kinds.front());
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
