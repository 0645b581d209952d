#include "cli/json_text.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "klmesh/error.hpp"

namespace klmesh::cli {
namespace {

using Json = nlohmann::ordered_json;

TEST(JsonText, LooksLikeThis) {
  const Json json = Json::parse(R"({"z": 1, "a": {"b": {"c": null, "d": [true, "x\"\n"]}, "e": {}}})");
  EXPECT_EQ(json_text(json),
            "{\n  \"z\": 1,\n  \"a\": {\n    \"b\": {\"c\": null, \"d\": "
            "[true, \"x\\\"\\n\"]},\n    \"e\": {}\n  }\n}\n");
}

TEST(JsonText, NumbersAreShortAndReadBackTheSame) {
  for (const auto& [value, text] : {std::pair(0.1, "0.1"),
                                    {1.0, "1.0"},
                                    {-0.0, "-0.0"},
                                    {1e300, "1e+300"},
                                    {5e-324, "5e-324"},
                                    {0.1 + 0.2, "0.30000000000000004"},
                                    {123456.0, "123456.0"},
                                    {9007199254740993.0, "9007199254740992.0"},
                                    {9.5367431640625e-07, "9.5367431640625e-07"}}) {
    EXPECT_EQ(json_text(value), std::string(text) + "\n");
    const double again = Json::parse(json_text(value)).get<double>();
    EXPECT_EQ(again, value);
    EXPECT_EQ(std::signbit(again), std::signbit(value));
    EXPECT_TRUE(Json::parse(json_text(value)).is_number_float());
  }
  EXPECT_EQ(json_text(std::numeric_limits<std::int64_t>::max()), "9223372036854775807\n");
}

TEST(JsonText, JsonHasNoInfinity) {
  EXPECT_THROW(json_text(HUGE_VAL), InvalidArgument);
  EXPECT_THROW(json_text(Json{{"x", std::nan("")}}), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::cli
