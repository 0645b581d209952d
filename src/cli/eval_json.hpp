// What `klmesh eval --json` writes: a report as JSON of the schema klmesh.eval/1.
#pragma once

#include <string>

#include "cli/eval_aggregate.hpp"
#include "cli/eval_unit.hpp"
#include "eval/report.hpp"

namespace klmesh::cli {

/// Every key is always there; what was not computed or is undefined is null,
/// what is infinite "inf" or "-inf".
/// Two keys are there only if they were asked for: `renyi`, and the field of `aggregate` in every entry of `exact`
/// and `estimators`.
/// @param report in nats, as always
/// @param unit   of the values in the text
std::string eval_json(const eval::EvalReport& report, Unit unit, Aggregate aggregate = Aggregate::token_mean);

}  // namespace klmesh::cli
