// What LogitsFile refuses, and that the message says where.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ostream>
#include <string>
#include <vector>

#include "io/logits_examples.hpp"
#include "io/logits_file.hpp"
#include "io/python.hpp"
#include "io/read_all.hpp"
#include "io/scratch_directory.hpp"
#include "klmesh/error.hpp"

namespace klmesh::io {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

struct Refusal {
  const char *file, *where, *why;  // `where` is empty if the whole file is meant
};

// What a failure prints.
void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.file; }

class LogitsFileRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(LogitsFileRefusal, NamesFileDatasetAndReason) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  const auto [name, where, why] = GetParam();
  const std::string path = logits_example(name).string();
  const std::string start = path + ": " + (*where != 0 ? "dataset " + std::string(where) + ": " : "");
  testing::internal::CaptureStderr();
  try {
    read_all(LogitsFile::open(path));
    ADD_FAILURE() << "accepted";
  } catch (const InvalidData& error) {
    EXPECT_THAT(error.what(), AllOf(StartsWith(start), HasSubstr(why)));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

constexpr const char *policy = "policy_logits", *reference = "reference_logits";

INSTANTIATE_TEST_SUITE_P(
    Pairs, LogitsFileRefusal,
    testing::Values(Refusal{"empty", "", "has neither policy_logits and reference_logits nor"},
                    Refusal{"no_reference", "", "has policy_logits but no reference_logits"},
                    Refusal{"no_policy", "", "has reference_logits but no policy_logits"},
                    Refusal{"no_logp_reference", "", "has logp_policy but no logp_reference"},
                    Refusal{"both_kinds", "", "has both"},
                    Refusal{"both_kinds_halves", "", "has policy_logits but no reference_logits"}));

INSTANTIATE_TEST_SUITE_P(
    Shapes, LogitsFileRefusal,
    testing::Values(Refusal{"rows_differ", reference, "has 6 rows, but policy_logits has 7"},
                    Refusal{"columns_differ", reference, "has 4 columns, but policy_logits has 5"},
                    Refusal{"vocab_large", policy, "has 5 columns, fewer than vocab_size 6"},
                    Refusal{"vocab_huge", policy, "fewer than vocab_size 9223372036854775807"},
                    Refusal{"vocab_zero", "", "attribute vocab_size: must be positive, is 0"},
                    Refusal{"vocab_float", "", "attribute vocab_size: must be one integer"},
                    Refusal{"vocab_two", "", "attribute vocab_size: must be one integer"},
                    Refusal{"vocab_text", "", "attribute vocab_size: must be one integer"},
                    Refusal{"one_dimension", policy, "has 1 dimensions, must have 2"},
                    Refusal{"three_dimensions", policy, "has 3 dimensions, must have 2"},
                    Refusal{"scalar", policy, "has 0 dimensions, must have 2"},
                    Refusal{"null", reference, "has 0 dimensions, must have 2"},
                    Refusal{"no_columns", policy, "has no columns"},
                    Refusal{"too_large", policy, "is too large"}));

INSTANTIATE_TEST_SUITE_P(Types, LogitsFileRefusal,
                         testing::Values(Refusal{"integers", policy, "is integer of 4 bytes"},
                                         Refusal{"uint16_plain", policy, "is uint16 without that attribute"},
                                         Refusal{"uint16_other", policy, "is uint16 without that attribute"},
                                         Refusal{"long_double", policy, "is float of 16 bytes"},
                                         Refusal{"compound", reference, "is compound"},
                                         Refusal{"complex", reference, "is compound"},
                                         Refusal{"opaque", reference, "is opaque"},
                                         Refusal{"variable_length", reference, "is variable-length"},
                                         Refusal{"reference", reference, "is reference"},
                                         Refusal{"text_dataset", reference, "is string"},
                                         Refusal{"array", reference, "has 1 dimensions"}));

INSTANTIATE_TEST_SUITE_P(
    Storage, LogitsFileRefusal,
    testing::Values(Refusal{"group", reference, "is not a dataset"},
                    Refusal{"named_type", reference, "is not a dataset"},
                    Refusal{"soft_link", reference, "is a soft or external link"},
                    Refusal{"dangling_link", reference, "is a soft or external link"},
                    Refusal{"external_link", reference, "is a soft or external link"},
                    Refusal{"mask_link", "mask", "is a soft or external link"},
                    Refusal{"external_storage", reference, "has its data in an external file"},
                    Refusal{"virtual", reference, "is a virtual dataset"},
                    Refusal{"lzf", reference, "needs filter 32000"},
                    Refusal{"scale_offset", reference, "needs filter 6"},
                    Refusal{"unwritten", reference, "was created but not completely written"}));

INSTANTIATE_TEST_SUITE_P(
    Companions, LogitsFileRefusal,
    testing::Values(Refusal{"targets_float", "targets", "is float of 4 bytes; must be integers"},
                    Refusal{"targets_short", "targets", "has 6 rows, but policy_logits has 7"},
                    Refusal{"targets_matrix", "targets", "has 2 dimensions, must have 1"},
                    Refusal{"mask_two", "mask", "row 5: must be 0 or 1, is 2"},
                    Refusal{"mask_negative", "mask", "row 1: must be 0 or 1, is -1"},
                    Refusal{"mask_huge", "mask", "row 3: must be 0 or 1, is 18446744073709551615"},
                    Refusal{"mask_float", "mask", "is float"}, Refusal{"mask_long", "mask", "has 8 rows"},
                    Refusal{"mask_colours", "mask", "is enumeration"},
                    Refusal{"mask_inverted", "mask", "is enumeration"},
                    Refusal{"mask_three", "mask", "is enumeration"},
                    Refusal{"sequence_text", "sequence", "is string"}));

INSTANTIATE_TEST_SUITE_P(
    LogProbabilities, LogitsFileRefusal,
    testing::Values(Refusal{"logp_positive", "logp_reference", "row 1: a log-probability cannot be 0.5"},
                    Refusal{"logp_nan", "logp_policy", "row 2: a log-probability cannot be nan"},
                    Refusal{"logp_rows", "logp_reference", "has 2 rows, but logp_policy has 3"},
                    Refusal{"logp_integers", "logp_policy", "is integer"}));

INSTANTIATE_TEST_SUITE_P(Damage, LogitsFileRefusal,
                         testing::Values(Refusal{"truncated", "", "truncated"},
                                         Refusal{"half", "", "truncated"},
                                         Refusal{"text", "", "is not an HDF5 file"},
                                         Refusal{"nothing", "", "is not an HDF5 file"},
                                         Refusal{"bad_chunk", policy, "corrupt"}));

TEST(LogitsFileOpen, WhatIsNotThereOrNoFileIsNotFound) {
  const ScratchDirectory directory;
  EXPECT_THROW(LogitsFile::open(directory / "missing.h5"), InputNotFound);
  EXPECT_THAT([&] { LogitsFile::open(directory.path()); },
              testing::ThrowsMessage<InputNotFound>(HasSubstr("is a directory")));
  write_text(directory / "file", "");
  EXPECT_THROW(LogitsFile::open(directory / "file/x.h5"), InputNotFound);
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(LogitsFile::open(directory / "pipe"), InputNotFound);
  if (::geteuid() == 0) return;  // may read everything
  ASSERT_EQ(::chmod((directory / "file").c_str(), 0), 0);
  EXPECT_THROW(LogitsFile::open(directory / "file"), InputNotFound);
}

TEST(LogitsFileOpen, RowsThatDoNotCountMayHoldAnyLogProbability) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  const LogitsFile file = LogitsFile::open(logits_example("logp_masked"));
  EXPECT_NO_THROW(read_all(file));
  std::vector<double> out(3);
  EXPECT_THROW(file.read_logp(Side::policy, 0, out), InvalidData);
}

TEST(LogitsFileOpen, NothingOfARefusedFileStaysOpen) {
  if (!have_h5py()) GTEST_SKIP() << "no h5py";
  for (const char* name : {"mask_two", "lzf", "truncated", "rows_differ"})
    EXPECT_THROW(read_all(LogitsFile::open(logits_example(name))), InvalidData);
  EXPECT_EQ(H5Fget_obj_count(static_cast<hid_t>(H5F_OBJ_ALL), H5F_OBJ_ALL), 0);
}

}  // namespace
}  // namespace klmesh::io
