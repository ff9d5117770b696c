#include <filesystem>
#include <functional>

#include "arrow/array.h"
#include "arrow/builder.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "spill/record_sorter.h"
#include "spill/row_spill.h"
#include "spill/spill_streams.h"
#include "support/faulty_spill.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

arrow::Status SortRecords(SpillDirectory* directory) {
  RecordSorter sorter(directory, RecordSorter::kMinimumBytes, arrow::default_memory_pool());
  for (int64_t i = 0; i < 100000; ++i) ARROW_RETURN_NOT_OK(sorter.Add({i * 7919 % 100000, i}));
  ARROW_RETURN_NOT_OK(sorter.Rewind());
  SpillRecord record;
  for (int64_t i = 0; i < 100000; ++i) {
    ARROW_ASSIGN_OR_RAISE(const bool any, sorter.Next(&record));
    if (!any || record.key != i) return arrow::Status::UnknownError("wrong order");
  }
  return arrow::Status::OK();
}

arrow::Status FillStreams(SpillDirectory* directory) {
  ARROW_ASSIGN_OR_RAISE(auto streams,
                        SpillStreams::Make(directory, 4, 256, arrow::default_memory_pool()));
  for (int64_t i = 0; i < 1000; ++i) {
    ARROW_RETURN_NOT_OK(streams->Append(static_cast<int>(i % 4), &i, sizeof(i)));
  }
  ARROW_RETURN_NOT_OK(streams->Finish());
  for (int s = 0; s < 4; ++s) {
    ARROW_ASSIGN_OR_RAISE(auto reader, SpillStreams::Reader::Make(streams.get(), s));
    for (int64_t i = s; i < 1000; i += 4) {
      int64_t found = 0;
      ARROW_RETURN_NOT_OK(reader.Read(&found, sizeof(found)));
      if (found != i) return arrow::Status::UnknownError("wrong record");
    }
  }
  return arrow::Status::OK();
}

arrow::Status SpillRows(SpillDirectory* directory) {
  const auto schema = arrow::schema({arrow::field("id", arrow::int64())});
  ARROW_ASSIGN_OR_RAISE(auto spill,
                        RowSpill::Make(directory, schema, 1, arrow::default_memory_pool()));
  for (int64_t b = 0; b < 4; ++b) {
    arrow::Int64Builder ids;
    for (int64_t i = 0; i < 10000; ++i) ARROW_RETURN_NOT_OK(ids.Append(b * 10000 + i));
    ARROW_ASSIGN_OR_RAISE(auto array, ids.Finish());
    ARROW_RETURN_NOT_OK(spill->Append(0, *arrow::RecordBatch::Make(schema, 10000, {array})));
  }
  for (const RowRegion& region : spill->regions(0)) {
    ARROW_RETURN_NOT_OK(spill->ReadColumn(region, 0, arrow::default_memory_pool()).status());
  }
  return arrow::Status::OK();
}

struct Case {
  const char* name;
  std::function<arrow::Status(SpillDirectory*)> work;
};

class SpillFault : public ::testing::TestWithParam<Case> {};

TEST_P(SpillFault, EveryFailedCallIsTypedAndLeavesNothing) {
  testing::FaultySpill counting;
  {
    testing::TemporaryDirectory root;
    SpillDirectory directory(root.path(), -1, {}, &counting);
    const arrow::Status status = GetParam().work(&directory);
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  ASSERT_GT(counting.calls, 8);
  const int errors[] = {ENOSPC, EDQUOT, EIO, EACCES};
  for (int k = 0; k < counting.calls; ++k) {
    testing::TemporaryDirectory root;
    testing::FaultySpill calls;
    calls.fail_at = k;
    calls.os_error = errors[k % 4];
    {
      SpillDirectory directory(root.path(), -1, {}, &calls);
      const arrow::Status status = GetParam().work(&directory);
      if (k == 0) {
        // The parent is there already: whatever mkdir said first, the next call tells.
        EXPECT_TRUE(status.ok() || ErrorDetail::From(status) != nullptr);
      } else {
        ASSERT_NE(ErrorDetail::From(status), nullptr) << k << " " << status.ToString();
        EXPECT_EQ(ErrorDetail::From(status)->kind, ErrorKind::kSpill) << k;
        EXPECT_EQ(ErrorDetail::From(status)->os_error, errors[k % 4]) << k;
      }
    }
    EXPECT_EQ(calls.open_files, 0) << k;
    // A file whose unlink failed keeps its directory; the dataset's recovery removes both.
    if (!std::filesystem::is_empty(root.path())) {
      int files = 0;
      for (const auto& entry : std::filesystem::recursive_directory_iterator(root.path())) {
        files += entry.is_regular_file() ? 1 : 0;
      }
      EXPECT_EQ(files, 1) << k;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, SpillFault,
                         ::testing::Values(Case{"Sort", SortRecords}, Case{"Streams", FillStreams},
                                           Case{"Rows", SpillRows}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace floodwall
