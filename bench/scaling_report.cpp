#include "scaling_report.hpp"

#include <fmt/core.h>

#include <cmath>

#include "scaling_baseline.hpp"

namespace klmesh::bench {
namespace {

const char* name_of(Schedule schedule) { return schedule == Schedule::gather ? "gather" : "by_rows"; }

nlohmann::ordered_json json_of(const Parts& parts) {
  return {{"compute_ms", parts.compute * 1e3},     {"exchange_ms", parts.exchange * 1e3},
          {"reduction_ms", parts.reduction * 1e3}, {"record_ms", parts.record * 1e3},
          {"rest_ms", parts.rest() * 1e3},         {"total_ms", parts.total * 1e3}};
}

nlohmann::ordered_json json_of(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

}  // namespace

void print_scaling_head(std::FILE* out) {
  fmt::print(out,
             "# rest: waiting for other ranks (exchange and reduction are those of the rank that came last)\n"
             "# baseline: {} all-reduces a batch over the vocabulary group, one a metric over the batch\n"
             "# efficiency and ratio leave out the record, which rank 0 alone writes and few steps do\n",
             BaselineStep::kCollectives);
  fmt::print(out,
             "#{:>6} {:>7} {:>7} {:>8} | {:>8} {:>8} {:>9} {:>7} {:>8} {:>8} {:>6} {:>7} {:>6} | {:>8} {:>8} "
             "{:>8} | {:>6} {:>6} {:>6} {:>6}\n",
             "mode", "mesh", "rows", "schedule", "compute", "exchange", "reduction", "record", "rest",
             "total", "exch", "recv", "effic", "compute", "exchange", "total", "ratio", "min", "max",
             "errors");
  fmt::print(out,
             "#{:>6} {:>7} {:>7} {:>8} | {:>8} {:>8} {:>9} {:>7} {:>8} {:>8} {:>6} {:>7} {:>6} | {:>8} {:>8} "
             "{:>8} | {:>6} {:>6} {:>6} {:>6}\n",
             "", "", "", "", "(ms)", "(ms)", "(ms)", "(ms)", "(ms)", "(ms)", "(%)", "(B/row)", "(%)",
             "base(ms)", "(ms)", "(ms)", "base/", "", "", "");
}

void print(std::FILE* out, const ScalingResult& r, double efficiency) {
  const Parts& k = r.klmesh;
  fmt::print(out,
             " {:>6} {:>7} {:>7} {:>8} | {:>8.2f} {:>8.3f} {:>9.3f} {:>7.2f} {:>8.2f} {:>8.2f} {:>6.2f} "
             "{:>7.0f} {:>6} | {:>8.2f} "
             "{:>8.3f} {:>8.2f} | {:>6.2f} {:>6.2f} {:>6.2f} {:>6}\n",
             r.shape.mode, to_string(r.mesh), r.shape.rows,
             r.mesh.vocab == 1 ? "-" : name_of(r.shape.schedule), k.compute * 1e3, k.exchange * 1e3,
             k.reduction * 1e3, k.record * 1e3, k.rest() * 1e3, k.total * 1e3, 100 * k.exchange / k.total,
             r.received_bytes_per_row, std::isnan(efficiency) ? "-" : fmt::format("{:.1f}", 100 * efficiency),
             r.baseline.compute * 1e3, r.baseline.exchange * 1e3, r.baseline.total * 1e3, r.ratio.median,
             r.ratio.min, r.ratio.max, r.errors);
  std::fflush(out);
}

nlohmann::ordered_json json_of(const ScalingResult& r, double efficiency) {
  nlohmann::ordered_json json = {{"mode", r.shape.mode},
                                 {"ranks", r.mesh.ranks()},
                                 {"batch", r.mesh.batch},
                                 {"vocab", r.mesh.vocab},
                                 {"rows", r.shape.rows},
                                 {"vocab_size", r.shape.vocab_size},
                                 {"schedule", r.mesh.vocab == 1 ? "none" : name_of(r.shape.schedule)},
                                 {"klmesh", json_of(r.klmesh)},
                                 {"baseline", json_of(r.baseline)},
                                 {"baseline_over_klmesh", json_of(r.ratio)},
                                 {"exchange_fraction", r.klmesh.exchange / r.klmesh.total},
                                 {"received_bytes_per_row", r.received_bytes_per_row},
                                 {"efficiency", nullptr},
                                 {"kl_reverse_mean", r.kl_reverse_mean},
                                 {"errors", r.errors}};
  if (!std::isnan(efficiency)) json["efficiency"] = efficiency;
  return json;
}

void print_exchange_head(std::FILE* out) {
  fmt::print(out,
             "#\n# the exchange alone: partials, and normalisers back (by_rows); the slowest rank's time\n");
  fmt::print(out, "#{:>7} {:>7} {:>8} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6}\n", "mesh", "rows",
             "schedule", "received", "time", "min", "max", "bandwidth", "baseline", "ratio", "errors");
  fmt::print(out, "#{:>7} {:>7} {:>8} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6}\n", "", "", "", "(B)",
             "(us)", "(us)", "(us)", "(GB/s)", "(us)", "", "");
}

void print(std::FILE* out, const ExchangeResult& r) {
  fmt::print(out, " {:>7} {:>7} {:>8} {:>10} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.3f} {:>9.1f} {:>7.2f} {:>6}\n",
             to_string(r.mesh), r.rows, r.by_rows ? "by_rows" : "gather", r.received_bytes,
             r.microseconds.median, r.microseconds.min, r.microseconds.max,
             static_cast<double>(r.received_bytes) * 1e-3 / r.microseconds.median,
             r.baseline_microseconds.median, r.baseline_microseconds.median / r.microseconds.median,
             r.errors);
  std::fflush(out);
}

nlohmann::ordered_json json_of(const ExchangeResult& r) {
  return {{"batch", r.mesh.batch},
          {"vocab", r.mesh.vocab},
          {"rows", r.rows},
          {"schedule", r.by_rows ? "by_rows" : "gather"},
          {"received_bytes", r.received_bytes},
          {"microseconds", json_of(r.microseconds)},
          {"baseline_microseconds", json_of(r.baseline_microseconds)},
          {"errors", r.errors}};
}

}  // namespace klmesh::bench
