#include "probe/kept_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "support/faulty_kernel.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

class KeptFileTest : public ::testing::Test {
 protected:
  KeptFileTest() { directory_.Write("f", "one\n"); }
  std::string Path(const char* name) const { return directory_.path() + "/" + name; }
  KeptFile::Text Read(KeptFile* file) { return file->Read(buffer_); }

  testing::TemporaryDirectory directory_;
  testing::FaultyKernel kernel_;
  std::array<char, 64> buffer_;
};

TEST_F(KeptFileTest, OpensOnceAndReadsWhatIsThereNow) {
  KeptFile file(&kernel_, Path("f"));
  EXPECT_EQ(Read(&file).text, "one\n");
  directory_.Write("f", "second\n");
  EXPECT_EQ(Read(&file).text, "second\n");
  EXPECT_EQ(kernel_.opens, 1);
  EXPECT_EQ(kernel_.preads, 3) << "the end is asked for once";
}

TEST_F(KeptFileTest, KnowsAPieceFromTheWhole) {
  directory_.Write("f", "a 1\nb 2\nc 3\n");
  KeptFile file(&kernel_, Path("f"));
  kernel_.most_a_read = 4;  // every piece ends with a line
  EXPECT_EQ(Read(&file).text, "a 1\nb 2\nc 3\n");
  EXPECT_EQ(Read(&file).text, "a 1\nb 2\nc 3\n");
  EXPECT_EQ(kernel_.preads, 4 + 3);
  directory_.Write("f", "a 1\n");  // another kernel after a migration
  EXPECT_EQ(Read(&file).text, "a 1\n");
  EXPECT_EQ(Read(&file).text, "a 1\n");
  EXPECT_EQ(kernel_.preads, 4 + 3 + 2 + 1);
}

TEST_F(KeptFileTest, SurvivesInterruptsAndShortReads) {
  directory_.Write("f", "a long line\nanother\n");
  kernel_.most_a_read = 3;
  int calls = 0;
  kernel_.pread_error = [&] { return ++calls % 2 == 1 ? EINTR : 0; };
  kernel_.open_error = [n = 0](const std::string&) mutable { return n++ == 0 ? EINTR : 0; };
  KeptFile file(&kernel_, Path("f"), KeptFile::Content::kListing);
  EXPECT_EQ(Read(&file).text, "a long line\nanother\n");
}

TEST_F(KeptFileTest, CutsTextAfterTheLastWholeLine) {
  directory_.Write("f", std::string(60, 'x') + "\n" + std::string(60, 'y') + "\n");
  KeptFile file(&kernel_, Path("f"));
  EXPECT_EQ(Read(&file).text, std::string(60, 'x') + "\n");
}

TEST_F(KeptFileTest, KeepsReadingWhenNoDescriptorIsLeft) {
  KeptFile file(&kernel_, Path("f"));
  EXPECT_EQ(Read(&file).error, 0);
  kernel_.open_error = [](const std::string&) { return EMFILE; };
  EXPECT_EQ(Read(&file).text, "one\n");
  KeptFile late(&kernel_, Path("f"));
  EXPECT_EQ(Read(&late).error, EMFILE);
}

TEST_F(KeptFileTest, DoesNotHammerAFileThatIsNotThere) {
  KeptFile file(&kernel_, Path("missing"));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Read(&file).error, ENOENT);
  EXPECT_LE(kernel_.opens, 2);
}

TEST_F(KeptFileTest, OpensAgainWhenTheDescriptorWasClosed) {
  KeptFile file(&kernel_, Path("f"));
  EXPECT_EQ(Read(&file).error, 0);
  // Somebody closes every descriptor, as daemons do.
  int fails = 1;
  kernel_.pread_error = [&] { return fails-- > 0 ? EBADF : 0; };
  EXPECT_EQ(Read(&file).text, "one\n");
  EXPECT_EQ(kernel_.opens, 2);
}

TEST_F(KeptFileTest, LeavesANumberAloneThatBelongsToAnotherFile) {
  directory_.Write("other", "foreign\n");
  KeptFile file(&kernel_, Path("f"));
  ASSERT_EQ(Read(&file).text, "one\n");
  // The descriptor's number is taken over: find it as the newest one.
  const int probe = ::dup(0);
  const int kept = probe - 1;
  ::close(probe);
  const int foreign = ::open(Path("other").c_str(), O_RDONLY);
  ASSERT_EQ(::dup2(foreign, kept), kept);
  ::close(foreign);
  ::usleep(1'100'000);  // the identity is looked at once a second
  EXPECT_EQ(Read(&file).text, "one\n");
  char first = 0;
  EXPECT_EQ(::pread(kept, &first, 1, 0), 1) << "the other file's descriptor was closed";
  EXPECT_EQ(first, 'f');
  ::close(kept);
}

TEST_F(KeptFileTest, ReadsTheChildsOwnFileAfterFork) {
  KeptFile file(KernelCalls::Native(), "/proc/self/stat");
  std::array<char, 4096> text;
  ASSERT_EQ(file.Read(text).text.substr(0, file.Read(text).text.find(' ')),
            std::to_string(::getpid()));
  const pid_t child = ::fork();
  if (child == 0) {
    const auto read = file.Read(text);
    const bool own = read.text.substr(0, read.text.find(' ')) == std::to_string(::getpid());
    ::_exit(own ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace floodwall
