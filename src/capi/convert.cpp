#include "capi/convert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "capi/versioned.hpp"

namespace klmesh::capi {
namespace {

struct KnownType {
  klmesh_dtype c;
  DType dtype;
};
constexpr std::array<KnownType, 4> kTypes{{{{KLMESH_DTYPE_FLOAT, 32, 1}, DType::f32},
                                           {{KLMESH_DTYPE_FLOAT, 64, 1}, DType::f64},
                                           {{KLMESH_DTYPE_FLOAT, 16, 1}, DType::f16},
                                           {{KLMESH_DTYPE_BFLOAT, 16, 1}, DType::bf16}}};

DType element_type(klmesh_dtype dtype, std::string_view name) {
  for (const KnownType& known : kTypes) {
    if (dtype.code == known.c.code && dtype.bits == known.c.bits && dtype.lanes <= 1) return known.dtype;
  }
  throw InvalidArgument(
      fmt::format("{}: unknown element type (code {}, {} bits, {} lanes)", name, dtype.code, dtype.bits, dtype.lanes));
}

void require_rows(std::int64_t rows, std::string_view name) {
  if (rows < 0) throw InvalidArgument(fmt::format("{} has {} rows", name, rows));
}

// Elements from one row to the next. Tensor libraries leave the stride of a dimension of one element open.
template <typename Matrix>
std::int64_t row_stride(const Matrix& matrix, bool first_row_alone, std::string_view name) {
  require_rows(matrix.shape[0], name);
  if (matrix.strides[1] != 1 && matrix.shape[1] > 1) {
    throw InvalidArgument(fmt::format("{}: strides[1] is {}, columns must be adjacent", name, matrix.strides[1]));
  }
  return first_row_alone ? std::max(matrix.strides[0], matrix.shape[1]) : matrix.strides[0];
}

// A null pointer is an empty span, which means "none" to the engine.
template <typename T>
std::span<const T> entries(const T* data, std::int64_t rows) {
  return data == nullptr ? std::span<const T>{} : std::span(data, static_cast<std::size_t>(rows));
}

void require_same_rows(std::int64_t rows, std::int64_t expected, std::string_view name) {
  if (rows != expected) throw InvalidArgument(fmt::format("{} has {} rows, expected {}", name, rows, expected));
}

}  // namespace

LogitsView logits_view(const klmesh_logits* logits, std::string_view side) {
  const klmesh_logits l = read(logits, side);
  require_zero(l.reserved, side);
  LogitsView view;
  view.data = l.data;
  view.dtype = element_type(l.dtype, side);
  view.rows = l.shape[0];
  view.columns = l.shape[1];
  view.row_stride = row_stride(l, l.shape[0] <= 1 && l.row_index == nullptr, side);
  view.row_index = entries(l.row_index, l.shape[0]);
  view.scale = l.scale == 0.0 ? 1.0 : l.scale;
  return view;
}

GradientView gradient_view(const klmesh_gradient_output* output) {
  const klmesh_gradient_output o = read(output, "output");
  GradientView view;
  view.data = o.data;
  view.dtype = element_type(o.dtype, "output");
  view.rows = o.shape[0];
  view.columns = o.shape[1];
  view.row_stride = row_stride(o, o.shape[0] <= 1, "output");
  view.accumulate = o.accumulate != 0;
  return view;
}

RowInputs row_inputs(const klmesh_row_inputs* inputs, std::int64_t rows) {
  if (inputs == nullptr) return {};
  const klmesh_row_inputs i = read(inputs, "inputs");
  require_same_rows(i.rows, rows, "inputs");
  return {entries(i.targets, rows), entries(i.mask, rows), entries(i.sequence, rows)};
}

RowScales row_scales(const klmesh_row_scales* scales, std::int64_t rows) {
  const klmesh_row_scales s = read(scales, "scales");
  require_same_rows(s.rows, rows, "scales");
  return {entries(s.kl_reverse, rows), entries(s.kl_forward, rows), entries(s.logp_policy, rows),
          entries(s.entropy_policy, rows), entries(s.jensen_shannon, rows)};
}

QuantitySet quantity_set(std::int32_t quantities) {
  if (quantities == KLMESH_CORE) return QuantitySet::core;
  if (quantities == KLMESH_ALL) return QuantitySet::all;
  throw InvalidArgument(fmt::format("quantities is {}: KLMESH_CORE or KLMESH_ALL", quantities));
}

EvaluateOptions evaluate_options(const klmesh_evaluate_options* options) {
  constexpr std::array schedules{Schedule::automatic, Schedule::gather, Schedule::by_rows};
  const klmesh_evaluate_options o = read_or_default(options, "options");
  require_zero(o.reserved, "options");
  if (o.schedule < KLMESH_AUTOMATIC || o.schedule > KLMESH_BY_ROWS) {
    throw InvalidArgument(fmt::format("options: there is no schedule {}", o.schedule));
  }
  EvaluateOptions result{quantity_set(o.quantities), schedules[static_cast<std::size_t>(o.schedule)], o.values_only == 0};
  if (o.renyi_alpha != 0.0) result.renyi_alpha = o.renyi_alpha;
  return result;
}

void require_zero(std::int32_t reserved, std::string_view name) {
  if (reserved != 0) throw InvalidArgument(fmt::format("{}: reserved is {}, not 0", name, reserved));
}

}  // namespace klmesh::capi
