// Logits files as h5py writes them, good and bad, made once per test program.
#pragma once

#include <filesystem>
#include <string>

namespace klmesh::io {

/// The path of NAME.h5. Makes all of them in a scratch directory when first called; needs h5py.
std::filesystem::path logits_example(const std::string& name);

/// Of the good ones: rows, columns and the value of each logit, exact in every type.
constexpr int example_rows = 7, example_columns = 5;
constexpr double policy_example(int row, int column) { return row * 8 + column - 20; }
constexpr double reference_example(int row, int column) { return 0.25 * (column * 8 - row); }

}  // namespace klmesh::io
