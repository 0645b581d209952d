// The per-token file: every row's values in one place.
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "comm/agreement.hpp"
#include "eval/evaluate_file.hpp"
#include "io/commit.hpp"
#include "io/file_image.hpp"
#include "io/hdf5_write.hpp"

namespace klmesh::eval {
namespace {

bool is_written(Quantity q) {
  return q != Quantity::k1_bias && q != Quantity::k2_bias && q != Quantity::k3_bias && q != Quantity::ratio_excess;
}

// All rows of the file on rank 0, NaN where a row has no value: values travel as the integers of their bits, of which
// one rank has each.
std::vector<double> gather_rows(Mesh& mesh, const TokenTable& table, const std::vector<double>& values, double factor) {
  std::vector<std::int64_t> words(2 * static_cast<std::size_t>(table.file_rows), 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto row = 2 * static_cast<std::size_t>(table.rows[i]);
    words[row] = std::bit_cast<std::int64_t>(values[i] / factor);
    words[row + 1] = 1;
  }
  mesh.world().all_reduce(words, {});
  std::vector<double> rows(static_cast<std::size_t>(table.file_rows), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    if (words[2 * row + 1] != 0) rows[row] = std::bit_cast<double>(words[2 * row]);
  }
  return rows;
}

struct Dataset {
  std::string name;
  std::string unit;
  std::vector<double> values;
};

void write_datasets(const std::vector<Dataset>& datasets, const std::string& path) {
  io::FileImage image;
  io::Handle group = io::create_group(image.root(), "tokens");
  for (const Dataset& dataset : datasets) {
    io::Handle handle = io::write_dataset(group.get(), dataset.name, std::span<const double>(dataset.values));
    io::write_attribute(handle.get(), "unit", dataset.unit);
    handle.close();
  }
  group.close();
  io::commit_file(path, image.finish());
}

}  // namespace

void write_per_token(Mesh& mesh, const Evaluation& evaluation, bool bits, const std::string& path) {
  const TokenTable& table = evaluation.tokens;
  const double factor = bits ? std::log(2.0) : 1.0;
  const std::string information = bits ? "bits" : "nats";
  const bool writer = mesh.world().rank() == 0;
  std::vector<Dataset> datasets;
  const auto add = [&](std::string name, const std::vector<double>& values, bool in_nats) {
    Dataset dataset{std::move(name), in_nats ? information : "1", gather_rows(mesh, table, values, in_nats ? factor : 1.0)};
    if (writer) datasets.push_back(std::move(dataset));
  };
  for (int i = 0; i < kQuantities; ++i) {
    const auto q = static_cast<Quantity>(i);
    if (evaluation.report.has(q) && is_written(q)) add(std::string(name(q)), table[q], is_in_nats(q));
  }
  if (evaluation.report.k_lambda) add("k_lambda", table.k_lambda, true);
  agree(mesh.world(), "writing the per-token file", 0, failure_of([&] {
          if (writer) write_datasets(datasets, path);
        }));
}

}  // namespace klmesh::eval
