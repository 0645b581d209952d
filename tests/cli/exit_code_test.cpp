#include "cli/exit_code.hpp"

#include <gtest/gtest.h>

#include <new>

#include "cli/usage_error.hpp"

namespace klmesh::cli {
namespace {

template <class E>
int code_of(const E& error) {
  return static_cast<int>(failure_of(std::make_exception_ptr(error)).code);
}

TEST(ExitCode, OfEveryError) {
  EXPECT_EQ(code_of(UsageError("x")), 64);
  EXPECT_EQ(code_of(InvalidArgument("x")), 64);
  EXPECT_EQ(code_of(InvalidData("x")), 65);
  EXPECT_EQ(code_of(InputNotFound("x")), 66);
  EXPECT_EQ(code_of(BackendUnavailable("x")), 69);
  EXPECT_EQ(code_of(Error("x")), 70);
  EXPECT_EQ(code_of(std::bad_alloc()), 70);
  EXPECT_EQ(code_of(3), 70);
  EXPECT_EQ(code_of(IoError("x")), 74);
  EXPECT_EQ(code_of(Hdf5Error("x")), 74);
  EXPECT_EQ(code_of(CommunicationError("x")), 75);
  EXPECT_EQ(code_of(MpiError("x")), 75);
  EXPECT_EQ(code_of(DeadlineExceeded("x")), 75);
}

TEST(ExitCode, ThrowingAFailureAgainKeepsCodeAndMessage) {
  for (const int code : {64, 65, 66, 69, 70, 74, 75}) {
    try {
      throw_failure({static_cast<ExitCode>(code), "what happened"});
    } catch (...) {
      const Failure again = failure_of(std::current_exception());
      EXPECT_EQ(static_cast<int>(again.code), code);
      EXPECT_EQ(again.message, "what happened");
    }
  }
}

}  // namespace
}  // namespace klmesh::cli
