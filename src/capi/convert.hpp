// Structs of the C interface as the C++ interface has them. Only what C leaves open is checked here; shapes and values
// are the engine's to check.
#pragma once

#include "klmesh/engine.hpp"
#include "klmesh/klmesh.h"
#include "klmesh/logits.hpp"

namespace klmesh::capi {

/// @throws InvalidArgument naming `side`: struct size, element type, a column stride other than 1, negative shape
LogitsView logits_view(const klmesh_logits* logits, std::string_view side);

/// @throws InvalidArgument as logits_view()
GradientView gradient_view(const klmesh_gradient_output* output);

/// Null: `rows` rows without anything.
/// @throws InvalidArgument if the struct is not of `rows` rows
RowInputs row_inputs(const klmesh_row_inputs* inputs, std::int64_t rows);

/// @throws InvalidArgument if the struct is not of `rows` rows
RowScales row_scales(const klmesh_row_scales* scales, std::int64_t rows);

/// @throws InvalidArgument for numbers that have no meaning
EvaluateOptions evaluate_options(const klmesh_evaluate_options* options);
QuantitySet quantity_set(std::int32_t quantities);

/// @throws InvalidArgument if a field is set that has no meaning yet
void require_zero(std::int32_t reserved, std::string_view name);

}  // namespace klmesh::capi
