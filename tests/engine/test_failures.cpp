// What an engine does with its back end when a call fails behind the agreement: peers may wait, so it is given up.
#include <gmock/gmock.h>

#include <vector>

#include "engine/backend.hpp"
#include "klmesh/error.hpp"
#include "klmesh/mesh.hpp"

namespace klmesh {
namespace {

using testing::_;
using testing::NiceMock;
using testing::Throw;

class MockBackend : public Backend {
 public:
  MOCK_METHOD(Memory, memory, (), (const, noexcept, override));
  MOCK_METHOD(void, reserve, (const ExchangePlan&), (override));
  MOCK_METHOD(std::size_t, workspace_bytes, (), (const, noexcept, override));
  MOCK_METHOD(void, abandon, (), (noexcept, override));
  MOCK_METHOD(void, row_partials, (const Batch&, const ExchangePlan&, double, StreamRef), (override));
  MOCK_METHOD(void, exchange_partials, (const ExchangePlan&, StreamRef), (override));
  MOCK_METHOD(void, finish,
              (const RowInputs&, const ExchangePlan&, const EvaluateOptions&, std::span<TokenStats>, StreamRef), (override));
  MOCK_METHOD(void, share_normalizers, (const RowInputs&, const ExchangePlan&, std::span<TokenStats>, StreamRef),
              (override));
  MOCK_METHOD(void, second_stage, (const Batch&, const ExchangePlan&, std::span<const TokenStats>, StreamRef), (override));
  MOCK_METHOD(void, exchange_second_stage, (const ExchangePlan&, StreamRef), (override));
  MOCK_METHOD(void, finish_second_stage, (const RowInputs&, const ExchangePlan&, std::span<TokenStats>, StreamRef),
              (override));
  MOCK_METHOD(void, share_mixtures, (const RowInputs&, const ExchangePlan&, std::span<TokenStats>, StreamRef), (override));
  MOCK_METHOD(void, gradient,
              (const Batch&, std::span<const TokenStats>, const RowScales&, const GradientView&, StreamRef), (override));
  MOCK_METHOD(void, require_reducible, (DeviceStepSums&, StreamRef), (override));
  MOCK_METHOD(DeviceStepSums, make_sums, (std::int64_t, QuantitySet), (override));
  MOCK_METHOD(void, clear, (DeviceStepSums&, StreamRef), (override));
  MOCK_METHOD(void, accumulate, (std::span<const TokenStats>, const RowInputs&, RowRange, DeviceStepSums&, StreamRef),
              (override));
  MOCK_METHOD(ReducedWords, reduce, (DeviceStepSums&, StreamRef), (override));
};

class EngineFailure : public testing::Test {
 protected:
  void evaluate() {
    const std::vector<float> zeros(5);
    std::vector<TokenStats> tokens(1);
    const LogitsView logits = logits_view(zeros.data(), 1, 5);
    engine_.evaluate(logits, logits, {}, tokens, host_stream);
  }
  StepStatistics reduce() {
    DeviceStepSums sums(nullptr, 0, QuantitySet::core);
    return engine_.reduce(sums, false, host_stream);
  }

  Mesh mesh_ = Mesh::self();
  std::unique_ptr<NiceMock<MockBackend>> made_ = std::make_unique<NiceMock<MockBackend>>();
  MockBackend& backend_ = *made_;
  Engine engine_ = make_engine(mesh_, vocab_shard(5, 0, 1), std::move(made_));
};

TEST_F(EngineFailure, BehindTheAgreementGivesTheExchangesUp) {
  EXPECT_CALL(backend_, finish).WillOnce(Throw(Error("the launch failed")));
  EXPECT_CALL(backend_, abandon());
  EXPECT_THROW(evaluate(), Error);
}

TEST_F(EngineFailure, InReduceGivesTheExchangesUp) {
  EXPECT_CALL(backend_, reduce).WillOnce(Throw(Error("the copy failed")));
  EXPECT_CALL(backend_, abandon());
  EXPECT_THROW(reduce(), Error);
}

TEST_F(EngineFailure, BeforeTheAgreementLeavesTheGroupsAlone) {
  EXPECT_CALL(backend_, row_partials).WillOnce(Throw(InvalidArgument("partials")));
  EXPECT_CALL(backend_, require_reducible).WillOnce(Throw(InvalidArgument("sums")));
  EXPECT_CALL(backend_, abandon()).Times(0);
  EXPECT_CALL(backend_, reduce).Times(0);
  EXPECT_THROW(evaluate(), InvalidArgument);
  EXPECT_THROW(reduce(), InvalidArgument);
}

}  // namespace
}  // namespace klmesh
