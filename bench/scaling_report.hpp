// Tables in the manner of nccl-tests, and the same as JSON.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>

#include "scaling_case.hpp"
#include "scaling_exchange.hpp"

namespace klmesh::bench {

void print_scaling_head(std::FILE* out);
/// @param efficiency against one rank; NaN if that was not measured
void print(std::FILE* out, const ScalingResult& result, double efficiency);
nlohmann::ordered_json json_of(const ScalingResult& result, double efficiency);

void print_exchange_head(std::FILE* out);
void print(std::FILE* out, const ExchangeResult& result);
nlohmann::ordered_json json_of(const ExchangeResult& result);

}  // namespace klmesh::bench
