#include <gmock/gmock.h>

#include <filesystem>
#include <map>

#include "klmesh/error.hpp"
#include "loop/corpus.hpp"
#include "loop/text.hpp"
#include "loop/text_directory.hpp"

namespace klmesh::loop {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> contents(const std::vector<Document>& documents) {
  std::vector<std::string> all;
  for (const Document& document : documents) all.push_back(document.subject + ": " + content(document));
  return all;
}

DataConfig data_of(std::vector<std::string> paths) {
  DataConfig data;
  data.paths = std::move(paths);
  data.validation_fraction = data.heldout_fraction = 0.25;
  return data;
}

TEST(SplitTexts, AtPercentLinesIfThereIsOneElseAtBlankLines) {
  EXPECT_THAT(split_texts("one\n\nstill one\n%\ntwo 5%\n%\n"), ElementsAre("one\n\nstill one\n", "two 5%\n"));
  EXPECT_THAT(split_texts("one\r\n%\r\ntwo"), ElementsAre("one\r\n", "two"));
  EXPECT_THAT(split_texts("one\nmore\n \t\n\n\ntwo"), ElementsAre("one\nmore\n", "two"));
  EXPECT_THAT(split_texts("%\n%\n \n%"), IsEmpty());
  EXPECT_THAT(split_texts(""), IsEmpty());
}

TEST(ReadDocuments, DirectoryInOrderWithoutIndicesLinksAndPictures) {
  const TextDirectory directory;
  directory.write("zebra", "Stripes\n%\nMore\n");
  directory.write("ant", "Small one\n\nSmall two\n");
  directory.write("ant.dat", "index");
  directory.write(".hidden", "hidden");
  directory.write("ascii-art", "picture");
  directory.write("bee.txt", "Linked");
  std::filesystem::create_symlink("bee.txt", directory.path("bee"));
  std::filesystem::create_directory(directory.path("folder"));
  EXPECT_THAT(contents(read_documents(data_of({directory.path()}))),
              ElementsAre("ant: small one", "ant: small two", "zebra: stripes", "zebra: more"));
}

TEST(ReadDocuments, ExcludeListAndNamedFiles) {
  const TextDirectory directory;
  directory.write("a", "first");
  directory.write("b.txt", "second");
  directory.write("c", "third");
  DataConfig data = data_of({directory.path(), directory.path("b.txt"), directory.path("c")});
  data.exclude = {"c"};  // of directories alone: a file that is named is wanted
  EXPECT_THAT(contents(read_documents(data)), ElementsAre("a: first", "b: second", "c: third"));
  data.paths = {directory.path()};
  EXPECT_THAT(contents(read_documents(data)), ElementsAre("a: first"));
}

TEST(ReadDocuments, RepetitionsAreReadOnce) {
  const TextDirectory directory;
  directory.write("a", "Same text!\n%\nother\n%\nsame   TEXT !\n");
  directory.write("b", "same text!\n%\nsame text !!\n");
  EXPECT_THAT(contents(read_documents(data_of({directory.path(), directory.path("a")}))),
              ElementsAre("a: same text !", "a: other", "b: same text !!"));
}

TEST(ReadDocuments, ErrorsNameThePath) {
  const TextDirectory directory;
  const std::string missing = directory.path("missing");
  EXPECT_THAT(message_of<InputNotFound>([&] { read_documents(data_of({missing})); }), HasSubstr(missing));
  EXPECT_THAT(message_of<InvalidData>([&] { read_documents(data_of({directory.path()})); }),
              HasSubstr(directory.path()));
  EXPECT_THAT(message_of<InvalidData>([&] { read_documents(data_of({})); }), HasSubstr("data.paths"));
  directory.write("binary", std::string_view("a\0b", 3));
  EXPECT_THAT(message_of<InvalidData>([&] { read_documents(data_of({directory.path()})); }),
              HasSubstr("binary"));
}

/// Which split each text of a corpus went to, by its words.
std::map<std::vector<std::string>, Split> splits_of(const Corpus& corpus) {
  std::map<std::vector<std::string>, Split> splits;
  const auto add = [&](const TextPart& part, Split split) {
    for (std::int64_t i = 0; i < part.documents(); ++i)
      splits[corpus.vocabulary.decode(part.document(i))] = split;
  };
  add(corpus.train, Split::train);
  add(corpus.validation, Split::validation);
  add(corpus.heldout, Split::heldout);
  return splits;
}

TEST(LoadCorpus, FlatArraysHoldEveryTextOnce) {
  const TextDirectory directory;
  directory.write_fortunes("pets", 60);
  directory.write_fortunes("food", 40);
  const Corpus corpus = load_corpus(data_of({directory.path()}), 1);
  EXPECT_THAT(corpus.subjects, ElementsAre("food", "pets"));
  EXPECT_EQ(corpus.train.documents() + corpus.validation.documents() + corpus.heldout.documents(), 100);
  EXPECT_EQ(splits_of(corpus).size(), 100u);
  for (const TextPart* part : {&corpus.train, &corpus.validation, &corpus.heldout}) {
    ASSERT_EQ(part->offsets.size(), part->subject.size() + 1);
    EXPECT_EQ(part->offsets.back(), static_cast<std::int64_t>(part->tokens.size()));
    for (std::int64_t i = 0; i < part->documents(); ++i) {
      EXPECT_EQ(corpus.vocabulary.decode(part->document(i)[0]), corpus.subjects[part->subject[i]]);
    }
    EXPECT_EQ(unknown_fraction(*part), 0);  // the vocabulary of the texts is that small
  }
}

TEST(LoadCorpus, SplitFollowsTheFractionsAndTheSeed) {
  const TextDirectory directory;
  directory.write_fortunes("pets", 1000);
  DataConfig data = data_of({directory.path()});
  data.validation_fraction = 0.1;
  data.heldout_fraction = 0.2;
  const Corpus corpus = load_corpus(data, 1);
  EXPECT_NEAR(static_cast<double>(corpus.validation.documents()), 100, 40);  // 4 standard deviations
  EXPECT_NEAR(static_cast<double>(corpus.heldout.documents()), 200, 52);
  EXPECT_EQ(load_corpus(data, 1).heldout.tokens, corpus.heldout.tokens);
  EXPECT_NE(load_corpus(data, 2).heldout.tokens, corpus.heldout.tokens);
  EXPECT_NE(load_corpus(data, 1 + (std::uint64_t{1} << 32)).heldout.tokens, corpus.heldout.tokens);
}

TEST(LoadCorpus, OtherTextsDoNotMoveAText) {
  const TextDirectory directory;
  directory.write_fortunes("pets", 100);
  const auto before = splits_of(load_corpus(data_of({directory.path()}), 1));
  directory.write_fortunes("ants", 50);
  const auto after = splits_of(load_corpus(data_of({directory.path()}), 1));
  EXPECT_EQ(after.size(), 150u);
  for (const auto& [words, split] : before) EXPECT_EQ(after.at(words), split);
}

TEST(LoadCorpus, VocabularyIsThatOfTheTrainingPart) {
  const TextDirectory directory;
  std::string bytes;
  for (int i = 0; i < 100; ++i)
    bytes += "common word" + std::string(static_cast<std::size_t>(i + 1), 'x') + "\n%\n";
  directory.write("a", bytes);
  const Corpus corpus = load_corpus(data_of({directory.path()}), 1);
  EXPECT_EQ(corpus.vocabulary.size(), Vocabulary::special_tokens + 1 + corpus.train.documents());
  EXPECT_EQ(unknown_fraction(corpus.train), 0);
  EXPECT_EQ(unknown_fraction(corpus.heldout), 0.5);  // every text has its own second word
}

TEST(LoadCorpus, TooSmallAndBadFractions) {
  const TextDirectory directory;
  directory.write("a", "the only text");
  DataConfig data = data_of({directory.path()});
  data.validation_fraction = data.heldout_fraction = 0;
  EXPECT_THAT(message_of<InvalidData>([&] { load_corpus(data, 1); }),
              AllOf(HasSubstr("validation"), HasSubstr("of 1 ")));
  directory.write_fortunes("b", 50);
  data.validation_fraction = 0.5;
  EXPECT_THAT(message_of<InvalidData>([&] { load_corpus(data, 1); }), HasSubstr("held-out"));
  data.heldout_fraction = 0.5;
  EXPECT_THROW(load_corpus(data, 1), InvalidArgument);
  data.heldout_fraction = -0.1;
  EXPECT_THROW(load_corpus(data, 1), InvalidArgument);
}

}  // namespace
}  // namespace klmesh::loop
