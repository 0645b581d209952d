#include "eval/logp_pass.hpp"

#include <algorithm>
#include <vector>

#include "comm/agreement.hpp"
#include "klmesh/estimators.hpp"

namespace klmesh::eval {
namespace {

TokenStats token_of(double logp_policy, double logp_reference) {
  TokenStats token;
  token.flags = kPolicyHasMass | kReferenceHasMass | kHasTarget;
  token.logp_policy = logp_policy;
  token.logp_reference = logp_reference;
  const Estimators k = estimators(logp_reference - logp_policy);
  token.k1 = k.k1;
  token.k2 = k.k2;
  token.k3 = k.k3;
  return token;
}

bool is_log_probability(double logp) { return logp <= 0.0; }

}  // namespace

TokenTable pass_over_logp(Mesh& mesh, const io::LogitsFile& file, const EvalInputs& inputs, bool skip_invalid) {
  std::vector<double> policy(static_cast<std::size_t>(inputs.rows)), reference(policy.size());
  agree(mesh.world(), "reading log-probabilities", 0, failure_of([&] {
          file.read_logp(io::Side::policy, inputs.first_row, policy, inputs.mask, skip_invalid);
          file.read_logp(io::Side::reference, inputs.first_row, reference, inputs.mask, skip_invalid);
        }));
  constexpr std::array known{Quantity::logp_policy, Quantity::logp_reference, Quantity::k1, Quantity::k2, Quantity::k3,
                             Quantity::delta_p, Quantity::ratio_excess};
  TokenTable table;
  const std::int64_t parts = mesh.shape().vocab;  // ranks that share rows split them
  const std::int64_t block = (inputs.rows + parts - 1) / parts;
  const std::int64_t end = std::min(inputs.rows, block * (mesh.vocab_part() + 1));
  for (std::int64_t row = std::min(inputs.rows, block * mesh.vocab_part()); row < end; ++row) {
    const auto i = static_cast<std::size_t>(row);
    const TokenStats token = token_of(policy[i], reference[i]);
    if (inputs.mask[i] == 0) {
      ++table.masked;
    } else if (!is_log_probability(policy[i]) || !is_log_probability(reference[i])) {
      ++table.invalid;  // read because they are to be skipped
    } else if (token.invalid_target()) {
      if (!table.first_invalid) table.first_invalid = InvalidRow{inputs.first_row + row, -1, token.flags, -1};
    } else {
      table.rows.push_back(inputs.first_row + row);
      table.sequences.push_back(inputs.sequence.empty() ? -1 : inputs.sequence[i]);
      table.flags.push_back(token.flags);
      for (const Quantity q : known) table[q].push_back(value_of(token, q));
    }
  }
  return table;
}

}  // namespace klmesh::eval
