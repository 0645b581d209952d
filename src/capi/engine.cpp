// The engine's flow: evaluate, gradient. Each call: C structs to views, the engine's own call, values back.
#include "klmesh/engine.hpp"

#include <utility>

#include "capi/agreed.hpp"
#include "capi/convert.hpp"
#include "capi/handles.hpp"
#include "capi/tokens.hpp"
#include "capi/versioned.hpp"

namespace klmesh::capi {
namespace {

/// What evaluate and gradient both read.
struct Batch {
  LogitsView policy;
  LogitsView reference;
  RowInputs inputs;
};

Batch batch(const klmesh_logits* policy, const klmesh_logits* reference, const klmesh_row_inputs* inputs) {
  Batch b{logits_view(policy, "policy"), logits_view(reference, "reference"), {}};
  b.inputs = row_inputs(inputs, b.policy.rows);
  return b;
}

klmesh_shard shard_of(const Engine& engine) {
  const VocabShard& s = engine.shard();
  return {0, s.vocab_size, s.begin, s.end, s.part, s.parts, s.first_slice, s.last_slice, engine.reproducible() ? 1 : 0,
          0};
}

}  // namespace
}  // namespace klmesh::capi

using namespace klmesh;
using capi::guard;
using capi::require;

extern "C" {

klmesh_status klmesh_engine_create(klmesh_mesh* mesh, int64_t vocab_size, klmesh_engine** engine) {
  return guard([&] {
    const auto shared = require(mesh, "mesh").mesh;
    klmesh_engine*& handle = require(engine, "engine");
    handle = new klmesh_engine{shared, Engine(*shared, vocab_size), {}};
  });
}

void klmesh_engine_destroy(klmesh_engine* engine) { delete engine; }

klmesh_status klmesh_engine_shard(const klmesh_engine* engine, klmesh_shard* shard) {
  return guard([&] { capi::write(capi::shard_of(require(engine, "engine").engine), shard, "shard"); });
}

klmesh_status klmesh_engine_owned_rows(const klmesh_engine* engine, int64_t rows, int64_t* begin, int64_t* end) {
  return guard([&] {
    if (rows < 0) throw InvalidArgument("a negative number of rows");
    const RowRange owned = require(engine, "engine").engine.owned_rows(rows);
    int64_t& first = require(begin, "begin");
    int64_t& last = require(end, "end");
    first = owned.begin;
    last = owned.end;
  });
}

klmesh_status klmesh_evaluate(klmesh_engine* engine, const klmesh_logits* policy, const klmesh_logits* reference,
                              const klmesh_row_inputs* inputs, const klmesh_evaluate_options* options,
                              klmesh_token* tokens, size_t token_size, int64_t token_count, void* stream) {
  return guard([&] {
    klmesh_engine& e = require(engine, "engine");
    const auto [batch, how] = capi::converted(e.mesh->vocab(), "evaluate", [&] {
      capi::require_tokens(tokens, token_size, token_count);
      e.tokens.resize(static_cast<std::size_t>(token_count));
      return std::pair(capi::batch(policy, reference, inputs), capi::evaluate_options(options));
    });
    e.engine.evaluate(batch.policy, batch.reference, batch.inputs, how, e.tokens, StreamRef(stream));
    capi::write_tokens(e.tokens, tokens, token_size);
  });
}

klmesh_status klmesh_gradient(klmesh_engine* engine, const klmesh_logits* policy, const klmesh_logits* reference,
                              const klmesh_row_inputs* inputs, const klmesh_token* tokens, size_t token_size,
                              int64_t token_count, const klmesh_row_scales* scales,
                              const klmesh_gradient_output* output, void* stream) {
  return guard([&] {
    klmesh_engine& e = require(engine, "engine");
    struct Work {
      capi::Batch batch;
      RowScales scales;
      GradientView output;
    };
    const Work work = capi::converted(e.mesh->vocab(), "gradient", [&]() -> Work {
      capi::read_tokens(tokens, token_size, token_count, e.tokens);
      const capi::Batch batch = capi::batch(policy, reference, inputs);
      return {batch, capi::row_scales(scales, batch.policy.rows), capi::gradient_view(output)};
    });
    e.engine.gradient(work.batch.policy, work.batch.reference, work.batch.inputs, e.tokens, work.scales, work.output,
                      StreamRef(stream));
  });
}
}
