// Damaged files of several writers' kinds: whatever is flipped, cut or claimed, opening, scanning
// and copying either works and gives a file that Arrow reads as it reads the damaged one, or ends
// in a Status. Deterministic; FLOODWALL_FUZZ_CASES asks for more.

#include <cstdlib>
#include <random>

#include "arrow/array.h"
#include "arrow/util/compression.h"
#include "dataset/parquet_assembler.h"
#include "floodwall/bytes.h"
#include "gtest/gtest.h"
#include "parquet/arrow/reader.h"
#include "parquet/exception.h"
#include "parquet/file_reader.h"
#include "support/heap_watch.h"
#include "support/sample_files.h"
#include "support/temporary_directory.h"

namespace floodwall {
namespace {

/// What a damaged file of some ten kilobytes may take beside the budget: windows, one row group's
/// metadata in Arrow, trees of single chunks.
constexpr int64_t kHeapBound = 2 * kMiB;
constexpr int64_t kBudget = 8 * kMiB;

int Cases() {
  const char* text = std::getenv("FLOODWALL_FUZZ_CASES");
  return text != nullptr ? std::atoi(text) : 3000;
}

struct Kind {
  const char* name;
  parquet::ParquetVersion::type version;
  parquet::ParquetDataPageVersion page;
  bool index;
  bool bloom;
  bool crc;
  bool dictionary;
  arrow::Compression::type codec;
};

std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.name; }

/// A staged file that is never forced to the device: thousands of them are written here.
class UnsyncedFile final : public StagedFile {
 public:
  explicit UnsyncedFile(std::unique_ptr<StagedFile> file) : file_(std::move(file)) {}
  arrow::Status Write(const void* data, int64_t length) override {
    return file_->Write(data, length);
  }
  arrow::Status CopyFrom(int source_fd, int64_t offset, int64_t length) override {
    return file_->CopyFrom(source_fd, offset, length);
  }
  arrow::Status Truncate(int64_t size) override { return file_->Truncate(size); }
  arrow::Status Sync() override { return arrow::Status::OK(); }
  arrow::Status Close() override { return file_->Close(); }
  int64_t size() const override { return file_->size(); }
  const std::string& path() const override { return file_->path(); }

 private:
  std::unique_ptr<StagedFile> file_;
};

class MutatedParquet : public ::testing::TestWithParam<Kind> {
 protected:
  static std::string WriteKind(const Kind& kind, const std::string& path) {
    parquet::WriterProperties::Builder builder;
    builder.version(kind.version)->data_page_version(kind.page)->compression(kind.codec);
    builder.data_pagesize(700)->write_batch_size(64);
    if (kind.index)
      builder.enable_write_page_index();
    else
      builder.disable_write_page_index();
    if (kind.crc) builder.enable_page_checksum();
    if (!kind.dictionary) builder.disable_dictionary();
    if (kind.bloom) builder.enable_bloom_filter("n", {.ndv = 100, .fpp = 0.05, .fold = false});
    testing::WriteTable(*testing::MakeTable(600), path, 250, builder.build());
    return path;
  }

  /// Changes a few bytes, mostly where metadata is.
  std::string Mutate(const std::string& good) {
    std::string bytes = good;
    const size_t footer = testing::FooterLength(good) + 8;
    const auto place = [&]() -> size_t {
      switch (random_() % 4) {
        case 0: return random_() % bytes.size();
        case 1: return 4 + random_() % 60;  // the first page header
        default: return bytes.size() - 1 - random_() % std::min(bytes.size() - 1, footer);
      }
    };
    const int changes = 1 + static_cast<int>(random_() % 3);
    for (int i = 0; i < changes && bytes.size() > 16; ++i) {
      const size_t at = std::min(place(), bytes.size() - 1);
      switch (random_() % 6) {
        case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << (random_() % 8))); break;
        case 1: bytes[at] = static_cast<char>(random_()); break;
        case 2: bytes[at] = static_cast<char>(bytes[at] | 0x80); break;  // a longer number
        case 3: bytes[at] = static_cast<char>(0xff); break;
        case 4:
          // Cut a piece out of the footer and make its length true again.
          if (random_() % 2 == 0 && at + 12 < bytes.size()) {
            bytes.erase(at, 1 + random_() % 4);
            if (at > good.size() - footer) FixLength(&bytes, good);
          }
          break;
        default:
          // Put the footer's end elsewhere: truncation, or a repeated stretch.
          if (random_() % 4 == 0) {
            bytes.resize(std::max<size_t>(12, at));
            bytes += good.substr(good.size() - 8);
          } else {
            const size_t from = bytes.size() - 8 - random_() % std::min(bytes.size() - 8, footer);
            bytes.insert(at, bytes.substr(from, 1 + random_() % 40));
            FixLength(&bytes, good);
          }
      }
    }
    return bytes;
  }

  static void FixLength(std::string* bytes, const std::string& good) {
    const auto data_end = good.size() - 8 - testing::FooterLength(good);
    if (bytes->size() < data_end + 8) return;
    const auto length = static_cast<uint32_t>(bytes->size() - 8 - data_end);
    std::memcpy(bytes->data() + bytes->size() - 8, &length, 4);
  }

  /// Arrow's reading of a file; null when it cannot.
  static std::shared_ptr<arrow::Table> ReadWithArrow(const std::string& path) {
    try {
      auto input = arrow::io::ReadableFile::Open(path);
      if (!input.ok()) return nullptr;
      auto reader = parquet::arrow::OpenFile(*input, arrow::default_memory_pool());
      if (!reader.ok()) return nullptr;
      auto table = (*reader)->ReadTable();
      if (!table.ok() || !(*table)->ValidateFull().ok()) return nullptr;
      return *table;
    } catch (const std::exception&) {
      return nullptr;
    }
  }

  arrow::Status Copy(const std::string& from, const std::string& to) {
    ARROW_ASSIGN_OR_RAISE(auto base, ParquetSource::Open(from, budget_));
    for (int g = 0; g < base->num_row_groups(); ++g) {
      ARROW_RETURN_NOT_OK(base->RowGroupMetadata(g).status());
      for (int c = 0; c < base->num_columns(); ++c) {
        ARROW_RETURN_NOT_OK(base->ScanPages(g, c).status());
        ARROW_ASSIGN_OR_RAISE(auto charge, Reservation::Make(budget_, 0));
        ARROW_RETURN_NOT_OK(base->ReadBloomFilter(g, c, &charge).status());
      }
    }
    (void)Storage::Posix()->Unlink(to);
    ARROW_ASSIGN_OR_RAISE(auto staged, Storage::Posix()->CreateFile(to, 0600));
    ARROW_ASSIGN_OR_RAISE(
        auto assembler,
        ParquetAssembler::Make(std::make_unique<UnsyncedFile>(std::move(staged)), base, pool_));
    for (int g = 0; g < base->num_row_groups(); ++g) {
      ARROW_RETURN_NOT_OK(assembler->CopyRowGroup(g));
    }
    return assembler->Finish().status();
  }

  std::mt19937 random_{20240611};
  testing::TemporaryDirectory directory_;
  std::shared_ptr<Budget> budget_ = Budget::Make("b", kBudget);
  GuardedPool* pool_ = GuardedPool::Make(budget_);
};

TEST_P(MutatedParquet, IsCopiedAsItReadsOrRefused) {
  const Kind& kind = GetParam();
  if (!arrow::util::Codec::IsAvailable(kind.codec)) GTEST_SKIP() << "codec is not built in";
  const std::string good_path = WriteKind(kind, directory_.path() + "/good.parquet");
  const std::string good = directory_.Contents().at("good.parquet");
  const std::string bad = directory_.path() + "/bad.parquet";
  const std::string copy = directory_.path() + "/copy.parquet";
  ASSERT_TRUE(Copy(good_path, copy).ok());
  ASSERT_TRUE(ReadWithArrow(copy)->Equals(*ReadWithArrow(good_path)));
  int copied = 0;
  int compared = 0;
  int refused = 0;
  for (int i = 0; i < Cases(); ++i) {
    // A new file each time: one written over is forced to the device by some file systems.
    (void)Storage::Posix()->Unlink(bad);
    directory_.Write("bad.parquet", Mutate(good));
    testing::ResetHeapPeak();
    const int64_t before = testing::HeapBytes();
    const arrow::Status status = Copy(bad, copy);
    ASSERT_LE(testing::HeapPeak() - before, kHeapBound) << "case " << i;
    ASSERT_EQ(budget_->used_bytes(), 0) << "case " << i;
    if (!status.ok()) {
      ++refused;
      continue;
    }
    ++copied;
    const auto expected = ReadWithArrow(bad);
    if (!expected) continue;  // damaged inside a page: bytes are copied, not judged
    const auto actual = ReadWithArrow(copy);
    ASSERT_NE(actual, nullptr) << "case " << i;
    ASSERT_TRUE(actual->Equals(*expected, arrow::EqualOptions::Defaults().nans_equal(true)))
        << "case " << i;
    ++compared;
  }
  // The mutations reach both ends.
  EXPECT_GT(refused, Cases() / 20);
  EXPECT_GT(copied, Cases() / 20);
  EXPECT_GT(compared, 0);
}

constexpr auto kV1 = parquet::ParquetDataPageVersion::V1;
constexpr auto kV2 = parquet::ParquetDataPageVersion::V2;

INSTANTIATE_TEST_SUITE_P(
    Kinds, MutatedParquet,
    ::testing::Values(Kind{"Old", parquet::ParquetVersion::PARQUET_1_0, kV1, false, false, false,
                           false, arrow::Compression::UNCOMPRESSED},
                      Kind{"Plain", parquet::ParquetVersion::PARQUET_2_4, kV1, true, false, true,
                           false, arrow::Compression::SNAPPY},
                      Kind{"Dictionary", parquet::ParquetVersion::PARQUET_2_6, kV1, true, true,
                           false, true, arrow::Compression::SNAPPY},
                      Kind{"PagesV2", parquet::ParquetVersion::PARQUET_2_6, kV2, true, true, true,
                           true, arrow::Compression::ZSTD}),
    [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace floodwall
