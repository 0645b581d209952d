// The steps of the phases on GPUs: the host's numbers, the documented copies and no others, and no allocation.
#include <functional>
#include <limits>

#include "klmesh/error.hpp"
#include "loop/cuda/both_ops.hpp"
#include "loop/cuda/counted_calls.hpp"
#include "loop/distill_phase.hpp"
#include "loop/mle_phase.hpp"
#include "loop/rlhf_phase.hpp"
#include "loop/small_corpus.hpp"

namespace klmesh::loop {
namespace {

// Of any statistic, relative to max(1, |x|): a few times what products of fp32 differ by, as no step of the optimiser
// makes more of it here.
constexpr double kTolerance = 1e-6;

/// 1x1, 1x2 or 2x2: that operations fit every mesh is test_loop_ops' matter.
MeshShape shape_of_world() {
  const int vocab = world_size() > 1 ? 2 : 1;
  return {world_size() / vocab, vocab};
}

class CudaSteps : public ::testing::Test {
 protected:
  CudaSteps() {
    config_.model.head_multiple = 32;
    config_.student = {.context = 1, .embedding = 4, .hidden = 6};
    config_.mle.steps = 2;
    config_.mle.batch_tokens = 130;  // two tiles: the second batch part has rows too, a third does not
    config_.rlhf.steps = 2;
    config_.rlhf.sequences = 20;
    config_.rlhf.length = 8;  // units of 16 sequences
    config_.distill.steps = 2;
    config_.distill.batch_tokens = 130;
    config_.distill.temperature = 1.5;
    config_.distill.data_weight = 0.3;
  }

  /// A back end with a policy that has learnt for some steps.
  struct Trained {
    Engine engine;
    Policy policy;
    std::vector<StepRecord> steps;
  };
  Trained train(TensorOps& ops) const {
    Trained trained{ops.make_engine(vocab_), Policy(ops, config_.model, vocab_, config_.seed, {}), {}};
    MlePhase phase(trained.engine, trained.policy, examples_, config_);
    for (std::int64_t i = 0; i < config_.mle.steps; ++i) trained.steps.push_back(phase.step());
    return trained;
  }

  TextDirectory directory_;
  TrainConfig config_ = small_config(directory_);
  Corpus corpus_ = load_corpus(config_.data, config_.seed);
  std::int64_t vocab_ = corpus_.vocabulary.size();
  Examples examples_ = make_examples(corpus_.train, config_.model.context);
};

/// All numbers of a step, by name. Of sums, which are means times counts, the mean alone: its bar is that of one token.
std::vector<std::pair<std::string, double>> numbers_of(const StepRecord& record) {
  std::vector<std::pair<std::string, double>> numbers{{"loss", record.loss},
                                                      {"reward_mean", record.reward_mean},
                                                      {"reward_stddev", record.reward_stddev},
                                                      {"tokens", static_cast<double>(record.tokens)}};
  for (int i = 0; i < kQuantities; ++i) {
    const auto quantity = static_cast<Quantity>(i);
    const QuantityStatistics& q = (*record.statistics)[quantity];
    numbers.emplace_back(std::string(name(quantity)) + "_count", static_cast<double>(q.count));
    for (const auto& [what, value] : {std::pair{"_mean", q.mean}, {"_min", q.min}, {"_max", q.max},
                                      {"_stddev", q.standard_deviation}, {"_stderr", q.standard_error},
                                      {"_stderr_clustered", q.standard_error_clustered}})
      numbers.emplace_back(std::string(name(quantity)) + what, value);
  }
  return numbers;
}

void expect_near(const std::vector<StepRecord>& got, const std::vector<StepRecord>& want, const std::string& what) {
  EXPECT_EQ(got.size(), want.size()) << what;
  for (std::size_t step = 0; step < std::min(got.size(), want.size()); ++step) {
    const auto ours = numbers_of(got[step]), theirs = numbers_of(want[step]);
    for (std::size_t i = 0; i < ours.size(); ++i) {
      const double x = ours[i].second, y = theirs[i].second;
      if (std::isnan(x) && std::isnan(y)) continue;
      EXPECT_LE(std::fabs(x - y), kTolerance * std::max(1.0, std::fabs(y)))
          << what << ", step " << step + 1 << ": " << ours[i].first << " " << x << ", " << y;
    }
  }
}

/// Every copy of a ledger, and how often it allocated.
std::vector<std::int64_t> counts_of(const MemoryLedger& ledger) {
  std::vector<std::int64_t> counts{ledger.allocations()};
  for (int reason = 0; reason < kCopyReasons; ++reason) {
    counts.push_back(ledger.uploads(static_cast<CopyReason>(reason)).calls);
    counts.push_back(ledger.downloads(static_cast<CopyReason>(reason)).calls);
  }
  return counts;
}

/// Steps once so that all is allocated, then twice more: each of these may copy so much, for these reasons, and nothing
/// else; and it allocates and frees nothing. Engine::reduce() adds its own copies to the host.
void expect_calls(const TensorOps& ops, const std::function<void()>& step, int uploads, int downloads, int reductions) {
  const auto reason_calls = [&](CopyReason reason, bool up) {
    return static_cast<int>(up ? ops.ledger().uploads(reason).calls : ops.ledger().downloads(reason).calls);
  };
  step();
  for (int time = 0; time < 2; ++time) {
    const CudaCalls before = cuda_calls();
    const std::vector<std::int64_t> counts = counts_of(ops.ledger());
    const int batch = reason_calls(CopyReason::batch, true), reports = reason_calls(CopyReason::step_report, false);
    step();
    EXPECT_EQ(reason_calls(CopyReason::batch, true) - batch, uploads);
    EXPECT_EQ(reason_calls(CopyReason::step_report, false) - reports, downloads);
    const CudaCalls calls = cuda_calls() - before;
    EXPECT_EQ(calls.to_device, uploads);
    EXPECT_EQ(calls.to_host, downloads + reductions);
    EXPECT_EQ(calls.allocations, 0);
    EXPECT_EQ(calls.frees, 0);
    EXPECT_EQ(calls.waits, downloads);  // behind a wait with a deadline: for the copy alone
    std::int64_t total = 0;
    const std::vector<std::int64_t> now = counts_of(ops.ledger());
    for (std::size_t i = 0; i < now.size(); ++i) total += now[i] - counts[i];
    EXPECT_EQ(total, uploads + downloads);  // no copy for another reason, no allocation
  }
}

TEST_F(CudaSteps, MaximumLikelihoodIsTheHosts) {
  BothOps both(shape_of_world());
  expect_near(train(both.device).steps, train(both.host).steps, "maximum likelihood");
}

// The host samples; both back ends measure and learn from its tokens.
TEST_F(CudaSteps, RlhfOnTheHostsTokensIsTheHosts) {
  BothOps both(shape_of_world());
  for (const Penalty kind : {Penalty::exact_reward, Penalty::k1_reward, Penalty::k2_loss, Penalty::k3_loss}) {
    struct Sampled {
      std::vector<std::int32_t> tokens, contexts;
      std::vector<std::uint8_t> mask;
    };
    std::vector<Sampled> steps;
    const auto run = [&](TensorOps& ops, const SequenceSource& source) {
      const Trained reference = train(ops);
      Engine engine = ops.make_engine(vocab_);
      RewardModel reward(both.host, vocab_, config_.reward, config_.adam);
      for (std::int64_t w = 0; w < vocab_; ++w) reward.scores()[static_cast<std::size_t>(w)] = w % 3 == 0 ? 1.0f : -0.5f;
      RlhfPhase phase(engine, reference.policy, reward, kind, config_, source);
      std::vector<StepRecord> records;
      for (std::int64_t i = 0; i < config_.rlhf.steps; ++i) records.push_back(phase.step());
      return records;
    };
    Sampler sampler(both.host);
    const auto want = run(both.host, [&](const Policy& policy, const SampleRequest& request, SampleBatch& batch) {
      sampler.sample(policy, request, batch);
      steps.push_back({get(batch.tokens), get(batch.contexts), get(batch.mask)});
    });
    const auto got = run(both.device, [&](const Policy& policy, const SampleRequest& request, SampleBatch& batch) {
      const Sampled& step = steps[request.step - 1];
      batch.start(request, policy.model().context);
      batch.tokens.upload(CopyReason::token_trace, step.tokens);
      batch.contexts.upload(CopyReason::token_trace, step.contexts);
      batch.mask.upload(CopyReason::token_trace, step.mask);
    });
    expect_near(got, want, std::string(name(kind)));
  }
}

// What the host reads before the update decides whether there is one.
TEST_F(CudaSteps, RlhfStopsAtItsLimit) {
  config_.rlhf.stop_kl = 1e-12;
  BothOps both(shape_of_world());
  Trained reference = train(both.device);
  RewardModel reward(both.host, vocab_, config_.reward, config_.adam);
  for (std::size_t w = 0; w < reward.scores().size(); w += 3) reward.scores()[w] = 1;
  Sampler sampler(both.device);
  RlhfPhase phase(reference.engine, reference.policy, reward, Penalty::exact_reward, config_,
                  [&](const Policy& policy, const SampleRequest& request, SampleBatch& batch) {
                    sampler.sample(policy, request, batch);
                  });
  EXPECT_FALSE(phase.step().stop_limit);  // the policy is the reference
  EXPECT_EQ(phase.step().stop_limit, config_.rlhf.stop_kl);
}

// In the shard of one rank: all ranks hear of it, and none waits for another.
TEST_F(CudaSteps, NanLogitsFailTheStepOnEveryRank) {
  BothOps both(shape_of_world());
  Engine engine = both.device.make_engine(vocab_);
  Policy policy(both.device, config_.model, vocab_, config_.seed, {});
  MlePhase phase(engine, policy, examples_, config_);
  EXPECT_EQ(phase.step().step, 1);
  if (world_rank() == world_size() - 1) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const Matrix<float> bias = policy.parameters()[PolicyTensor::head_bias];
    both.device.upload(CopyReason::start, std::as_bytes(std::span(&nan, 1)),
                       std::as_writable_bytes(std::span(bias.data, 1)));
  }
  EXPECT_THROW(phase.step(), InvalidData);
}

TEST_F(CudaSteps, DistillationIsTheHosts) {
  const DistillExamples examples(corpus_.train, config_.model, config_.student);
  BothOps both(shape_of_world());
  const auto run = [&](TensorOps& ops, Distillation kind) {
    Trained teacher = train(ops);
    DistillPhase phase(teacher.engine, teacher.policy, make_student(ops, config_, vocab_, {}), examples, kind, config_);
    std::vector<StepRecord> records;
    for (std::int64_t i = 0; i < config_.distill.steps; ++i) records.push_back(phase.step());
    return records;
  };
  for (const Distillation kind : {Distillation::reverse, Distillation::jensen_shannon})
    expect_near(run(both.device, kind), run(both.host, kind), std::string(name(kind)));
}

TEST_F(CudaSteps, CopyWhatIsDocumentedAndAllocateNothing) {
  BothOps both(shape_of_world());
  TensorOps& ops = both.device;
  Trained reference = train(ops);
  const bool has_rows =
      part_of_rows(config_.mle.batch_tokens, kRowTile, both.mesh.batch_part(), both.mesh.shape().batch).size() > 0;
  MlePhase mle(reference.engine, reference.policy, examples_, config_);
  expect_calls(ops, [&] { mle.step(); }, has_rows ? 2 : 0, 1, 1);

  RewardModel reward(both.host, vocab_, config_.reward, config_.adam);
  Sampler sampler(ops);
  RlhfPhase rlhf(reference.engine, reference.policy, reward, Penalty::exact_reward, config_,
                 [&](const Policy& policy, const SampleRequest& request, SampleBatch& batch) {
                   sampler.sample(policy, request, batch);
                 });
  expect_calls(ops, [&] { rlhf.step(); }, 0, 3, 1);

  const DistillExamples examples(corpus_.train, config_.model, config_.student);
  DistillPhase distill(reference.engine, reference.policy, make_student(ops, config_, vocab_, {}), examples,
                       Distillation::forward, config_);
  expect_calls(ops, [&] { distill.step(); }, has_rows ? 3 : 0, 1, 2);
}

}  // namespace
}  // namespace klmesh::loop
