#include "floodwall/error.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace floodwall {
namespace {

TEST(ErrorDetail, TravelsWithTheStatus) {
  auto detail = std::make_shared<ErrorDetail>(ErrorKind::kMemoryLimitExceeded);
  detail->requested_bytes = 7;
  const arrow::Status status = MakeError(detail, "no room");
  EXPECT_TRUE(status.IsOutOfMemory());
  const ErrorDetail* found = ErrorDetail::From(status);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->requested_bytes, 7);
}

TEST(ErrorDetail, IsAbsentFromForeignStatus) {
  EXPECT_EQ(ErrorDetail::From(arrow::Status::OK()), nullptr);
  EXPECT_EQ(ErrorDetail::From(arrow::Status::OutOfMemory("theirs")), nullptr);
}

TEST(ErrorDetail, KeepsTheErrno) {
  const arrow::Status status = MakeOsError(ErrorKind::kCommit, ENOSPC, "cannot write", "/x/y");
  EXPECT_TRUE(status.IsIOError());
  EXPECT_EQ(status.message(), "cannot write: No space left on device: '/x/y'");
  EXPECT_EQ(ErrorDetail::From(status)->os_error, ENOSPC);
}

}  // namespace
}  // namespace floodwall
