#include "comm/terms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>

#include "comm/agreement.hpp"
#include "klmesh/error.hpp"

namespace klmesh {
namespace {

constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

std::uint64_t hash(std::string_view text) { return Fingerprint().add(text).value(); }

struct TermHash {
  std::uint64_t name = 0, value = 0;
};

TermHash hash(const Term& term) { return {hash(term.name), hash(term.value)}; }

/// A text of bounded length, cut visibly.
template <std::size_t N>
struct ShortText {
  std::array<char, N> bytes{};

  void set(std::string_view text) {
    constexpr std::string_view mark = "...";
    if (text.size() <= N) {
      std::ranges::copy(text, bytes.begin());
    } else {
      std::ranges::copy(text.substr(0, N - mark.size()), bytes.begin());
      std::ranges::copy(mark, bytes.end() - mark.size());
    }
  }
  std::string_view view() const { return {bytes.data(), std::string_view(bytes.data(), N).find_last_not_of('\0') + 1}; }
};

/// A rank's value of the term that differs.
struct Answer {
  std::uint64_t present = 0;
  std::uint64_t value_hash = 0;  // of the whole value, where the text is cut
  ShortText<112> name;
  ShortText<384> value;
};
static_assert(sizeof(Answer) == 512 && std::is_trivially_copyable_v<Answer>);

std::vector<TermHash> hashes_of_rank_zero(Communicator& group, const Terms& terms) {
  auto count = static_cast<std::uint64_t>(terms.size());
  group.broadcast(std::as_writable_bytes(std::span(&count, 1)), 0);
  std::vector<TermHash> hashes;
  if (group.rank() == 0) {
    for (const Term& term : terms) hashes.push_back(hash(term));
  }
  hashes.resize(static_cast<std::size_t>(count));
  group.broadcast(std::as_writable_bytes(std::span(hashes)), 0);
  return hashes;
}

const Term* find(const Terms& terms, std::uint64_t name) {
  const auto found = std::ranges::find_if(terms, [&](const Term& term) { return hash(term.name) == name; });
  return found == terms.end() ? nullptr : &*found;
}

/// The first term that rank 0 does not have.
const Term* first_extra(const Terms& terms, std::span<const TermHash> expected) {
  const auto found = std::ranges::find_if(terms, [&](const Term& term) {
    return std::ranges::find(expected, hash(term.name), &TermHash::name) == expected.end();
  });
  return found == terms.end() ? nullptr : &*found;
}

/// Where these terms first differ from rank 0's; the number of those, if there are only more; kNone.
std::uint64_t first_difference(const Terms& terms, std::span<const TermHash> expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Term* const term = find(terms, expected[i].name);
    if (term == nullptr || hash(term->value) != expected[i].value) return i;
  }
  return first_extra(terms, expected) != nullptr ? expected.size() : kNone;
}

Answer answer(const Term* term) {
  Answer a;
  if (term == nullptr) return a;
  a.present = 1;
  a.value_hash = hash(term->value);
  a.name.set(term->name);
  a.value.set(term->value);
  return a;
}

/// "7 on ranks 0-2, 8 on rank 3".
std::string values_text(std::span<const Answer> answers) {
  constexpr int most_values = 4;
  std::string text;
  std::vector<bool> told(answers.size());
  for (int values = 0;; ++values) {
    const auto first = static_cast<std::size_t>(std::ranges::find(told, false) - told.begin());
    if (first == answers.size()) return text;
    if (values == most_values) return text + "; other values on other ranks";
    std::vector<int> ranks;
    for (std::size_t rank = first; rank < answers.size(); ++rank) {
      if (answers[rank].present != answers[first].present || answers[rank].value_hash != answers[first].value_hash) continue;
      told[rank] = true;
      ranks.push_back(static_cast<int>(rank));
    }
    const std::string_view value = answers[first].present != 0 ? answers[first].value.view() : "not given";
    text += fmt::format("{}{} on {}", values > 0 ? "; " : "", value, ranks_text(ranks));
  }
}

}  // namespace

std::string ranks_text(std::span<const int> ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    text += fmt::format("{}{}", i > 0 ? ", " : "", ranks[i]);
    if (last > i) text += fmt::format("-{}", ranks[last]);
    i = last + 1;
  }
  return text;
}

void throw_difference(Communicator& group, const Terms& terms) {
  const std::vector<TermHash> expected = hashes_of_rank_zero(group, terms);
  // The maximum of ~x is ~ the minimum of x.
  std::array<std::uint64_t, 1> inverted{~first_difference(terms, expected)};
  group.all_reduce({}, inverted);
  const std::uint64_t first = ~inverted[0];
  if (first == kNone) return;

  const Term* const mine = first < expected.size() ? find(terms, expected[first].name) : first_extra(terms, expected);
  const Answer own = answer(mine);
  std::vector<Answer> answers(static_cast<std::size_t>(group.size()));
  group.all_gather(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(answers)));
  const auto named = std::ranges::find_if(answers, [](const Answer& a) { return a.present != 0; });
  throw InvalidData(fmt::format("ranks disagree about {}: {}", named == answers.end() ? "?" : named->name.view(),
                                values_text(answers)));
}

void agree_on(Communicator& group, const Terms& terms, std::exception_ptr local_failure) {
  Fingerprint fingerprint;
  for (const Term& term : terms) fingerprint.add(term.name).add(term.value);
  agree(group, "what to do", local_failure ? 0 : fingerprint.value(), local_failure,
        [&] { throw_difference(group, terms); });
}

}  // namespace klmesh
