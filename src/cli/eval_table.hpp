// What `klmesh eval` tells people: a row per quantity, and what the estimators are worth.
#pragma once

#include <cstdio>

#include "cli/eval_aggregate.hpp"
#include "cli/eval_unit.hpp"
#include "eval/report.hpp"

namespace klmesh::cli {

/// Writes the report; every line that is no data begins with '#'. What is
/// undefined is "-".
/// @param out       borrowed
/// @param report    in nats, as always
/// @param unit      of the values shown
/// @param aggregate a further column, unless it is the token-mean
/// @throws IoError
void print_eval_table(std::FILE* out, const eval::EvalReport& report, Unit unit,
                      Aggregate aggregate = Aggregate::token_mean);

}  // namespace klmesh::cli
