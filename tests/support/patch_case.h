#pragma once

/// One random column in a file of two row groups, edits of its second row group, and the naive
/// answer: what the page patcher's property tests are made of.

#include <fcntl.h>

#include <cmath>
#include <limits>
#include <random>

#include "arrow/array/concatenate.h"
#include "arrow/builder.h"
#include "arrow/compute/api.h"
#include "arrow/io/file.h"
#include "arrow/scalar.h"
#include "arrow/table.h"
#include "arrow/type_traits.h"
#include "arrow/util/decimal.h"
#include "arrow/util/float16.h"
#include "dataset/parquet_assembler.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "merge/page_patcher.h"
#include "parquet/arrow/reader.h"
#include "parquet/arrow/writer.h"
#include "parquet/bloom_filter.h"
#include "parquet/bloom_filter_reader.h"
#include "parquet/file_reader.h"
#include "parquet/page_index.h"
#include "parquet/size_statistics.h"
#include "support/temporary_directory.h"

namespace floodwall::testing {

struct PatchOutcome {
  arrow::Status status;
  bool could_patch = false;
  bool written = false;
  std::vector<uint8_t> changed;
};

class PatchCase {
 public:
  PatchCase(std::mt19937* random, const std::string& directory)
      : random_(*random), path_(directory + "/base.parquet"), context_(options_) {
    static const std::vector<std::shared_ptr<arrow::DataType>> kTypes = {
        arrow::int32(),
        arrow::int64(),
        arrow::uint32(),
        arrow::uint64(),
        arrow::float32(),
        arrow::float64(),
        arrow::boolean(),
        arrow::utf8(),
        arrow::binary(),
        arrow::date32(),
        arrow::float16(),
        arrow::decimal128(15, 2),
        arrow::decimal128(30, 3),
        arrow::fixed_size_binary(5),
        arrow::timestamp(arrow::TimeUnit::NANO)};
    type_ = kTypes[random_() % kTypes.size()];
    nullable_ = random_() % 3 != 0;
    distinct_ = static_cast<int64_t>(1) << (random_() % 12);
    null_share_ = nullable_ ? static_cast<double>(random_() % 4) * 0.33 : 0;
    before_ = RandomArray(static_cast<int64_t>(3 + random_() % 3000), distinct_);
    first_group_ = before_->length() / 3;
    group_rows_ = before_->length() - first_group_;
    MakeProperties();
    Write();
    MakeEdits();
    random->discard(1);
  }

  const std::string& description() const { return description_; }
  bool has_removals() const { return removals_; }
  void Repair() { TemporaryDirectoryFile(path_, good_); }

  void DamagePages(std::mt19937* random) const {
    std::string bytes = good_;
    for (int i = 0; i < 1 + static_cast<int>((*random)() % 3); ++i) {
      const auto at = static_cast<size_t>(chunk_.offset) +
                      (*random)() % static_cast<size_t>(std::max<int64_t>(1, chunk_.length));
      bytes[at] = static_cast<char>((*random)());
    }
    TemporaryDirectoryFile(path_, bytes);
  }

  PatchOutcome Patch(const std::string& out) {
    PatchOutcome outcome;
    outcome.status = TryPatch(out, &outcome);
    return outcome;
  }

  arrow::Status Recode(const std::string& out) {
    ARROW_ASSIGN_OR_RAISE(auto file, ParquetSource::Open(path_, context_.budget));
    ARROW_ASSIGN_OR_RAISE(auto assembler, StartFile(file, out));
    std::vector<uint8_t> changed(edits_.size());
    ARROW_RETURN_NOT_OK(
        ColumnRecoder(file, 1, 0, &edits_, take_, &context_).Recode(assembler.get(), &changed));
    ARROW_RETURN_NOT_OK(assembler->EndRowGroup(after_->length() - first_group_));
    return assembler->Finish().status();
  }

  std::vector<uint8_t> ExpectedChanges() const {
    std::vector<uint8_t> out;
    for (const RowMatch& edit : edits_) {
      out.push_back(edit.ordinal != RowMatch::kRemoved &&
                    !SameBits(*before_, first_group_ + edit.row, *fresh_, edit.ordinal));
    }
    return out;
  }

  ::testing::AssertionResult ReadsAsExpected(const std::string& path) const {
    parquet::ReaderProperties properties;
    properties.set_page_checksum_verification(true);
    auto file = parquet::ParquetFileReader::OpenFile(path, false, properties);
    std::unique_ptr<parquet::arrow::FileReader> reader =
        parquet::arrow::FileReader::Make(arrow::default_memory_pool(), std::move(file))
            .ValueOrDie();
    auto table = reader->ReadTable();
    if (!table.ok()) return ::testing::AssertionFailure() << table.status().ToString();
    const auto read = Concatenated((*table)->column(0)->chunks());
    if (read->length() != after_->length()) {
      return ::testing::AssertionFailure() << read->length() << " rows, not " << after_->length();
    }
    for (int64_t i = 0; i < read->length(); ++i) {
      if (!SameBits(*read, i, *after_, i)) {
        return ::testing::AssertionFailure()
               << "row " << i << ": " << read->GetScalar(i).ValueOrDie()->ToString() << ", not "
               << after_->GetScalar(i).ValueOrDie()->ToString();
      }
    }
    return ::testing::AssertionSuccess();
  }

  /// Every claim of statistics, page index and bloom filter about the second row group.
  void CheckMetadata(const std::string& path) {
    auto file = parquet::ParquetFileReader::OpenFile(path, false);
    const auto metadata = file->metadata();
    const auto* descr = metadata->schema()->Column(0);
    const auto group = metadata->RowGroup(1);
    const auto chunk = group->ColumnChunk(0);
    const auto after = after_->Slice(first_group_);
    ASSERT_EQ(group->num_rows(), after->length());
    ASSERT_EQ(chunk->num_values(), after->length());
    const ValueOrder order(descr);
    const std::vector<std::string> values = PhysicalValues(after, descr);
    if (const auto statistics = chunk->encoded_statistics()) {
      if (statistics->has_null_count) {
        EXPECT_EQ(statistics->null_count, after->null_count());
      }
      if (statistics->has_min && statistics->has_max) {
        CheckBounds(order, values, *after, 0, after->length(), statistics->min(),
                    statistics->max());
        bool min_found = false;
        bool max_found = false;
        for (int64_t i = 0; i < after->length(); ++i) {
          if (after->IsNull(i) || !order.Bounds(values[static_cast<size_t>(i)])) continue;
          min_found |= !order.Less(statistics->min(), values[static_cast<size_t>(i)]);
          max_found |= !order.Less(values[static_cast<size_t>(i)], statistics->max());
        }
        EXPECT_TRUE(min_found || !statistics->is_min_value_exact.value_or(false));
        EXPECT_TRUE(max_found || !statistics->is_max_value_exact.value_or(false));
      }
    }
    const auto sizes = chunk->size_statistics();
    if (sizes && sizes->unencoded_byte_array_data_bytes) {
      int64_t bytes = 0;
      for (const std::string& value : values) bytes += std::ssize(value);
      EXPECT_EQ(*sizes->unencoded_byte_array_data_bytes, bytes);
    }
    if (sizes && !sizes->definition_level_histogram.empty()) {
      EXPECT_EQ(sizes->definition_level_histogram.front(), after->null_count());
      EXPECT_EQ(sizes->definition_level_histogram.back(), after->length() - after->null_count());
    }
    CheckPages(file.get(), order, values, *after, *chunk);
    CheckBloom(file.get(), after, descr);
  }

 private:
  static void TemporaryDirectoryFile(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  static std::shared_ptr<arrow::Array> Concatenated(const arrow::ArrayVector& chunks) {
    return arrow::Concatenate(chunks).ValueOrDie();
  }

  void CheckPages(parquet::ParquetFileReader* file, const ValueOrder& order,
                  const std::vector<std::string>& values, const arrow::Array& after,
                  const parquet::ColumnChunkMetaData& chunk) {
    const auto index = file->GetPageIndexReader()->RowGroup(1);
    if (!index) return;
    const auto offsets = index->GetOffsetIndex(0);
    if (!offsets) return;
    const auto& locations = offsets->page_locations();
    ASSERT_FALSE(locations.empty());
    EXPECT_EQ(locations.front().offset, chunk.data_page_offset());
    const int64_t start =
        chunk.has_dictionary_page() ? chunk.dictionary_page_offset() : chunk.data_page_offset();
    EXPECT_EQ(locations.back().offset + locations.back().compressed_page_size,
              start + chunk.total_compressed_size());
    const auto bounds = index->GetColumnIndex(0);
    ASSERT_TRUE(!bounds || bounds->null_pages().size() == locations.size());
    for (size_t p = 0; p < locations.size(); ++p) {
      const int64_t first = locations[p].first_row_index;
      const int64_t last =
          p + 1 < locations.size() ? locations[p + 1].first_row_index : after.length();
      if (!bounds) continue;
      const int64_t nulls = after.Slice(first, last - first)->null_count();
      EXPECT_TRUE(!bounds->has_null_counts() || bounds->null_counts()[p] == nulls);
      EXPECT_EQ(bounds->null_pages()[p], nulls == last - first);
      if (bounds->null_pages()[p]) continue;
      const std::string& min = bounds->encoded_min_values()[p];
      const std::string& max = bounds->encoded_max_values()[p];
      CheckBounds(order, values, after, first, last, min, max);
      if (p == 0 || bounds->null_pages()[p - 1]) continue;
      const std::string& last_min = bounds->encoded_min_values()[p - 1];
      const std::string& last_max = bounds->encoded_max_values()[p - 1];
      if (bounds->boundary_order() == parquet::BoundaryOrder::Ascending) {
        EXPECT_FALSE(order.Less(min, last_min) || order.Less(max, last_max));
      } else if (bounds->boundary_order() == parquet::BoundaryOrder::Descending) {
        EXPECT_FALSE(order.Less(last_min, min) || order.Less(last_max, max));
      }
    }
  }

  static void CheckBounds(const ValueOrder& order, const std::vector<std::string>& values,
                          const arrow::Array& array, int64_t first, int64_t last,
                          const std::string& min, const std::string& max) {
    ASSERT_TRUE(order.Bounds(min) && order.Bounds(max));
    for (int64_t i = first; i < last; ++i) {
      const std::string& value = values[static_cast<size_t>(i)];
      if (array.IsNull(i) || !order.Bounds(value)) continue;
      ASSERT_FALSE(order.Less(value, min) || order.Less(max, value)) << "row " << i;
    }
  }

  void CheckBloom(parquet::ParquetFileReader* file, const std::shared_ptr<arrow::Array>& after,
                  const parquet::ColumnDescriptor* descr) {
    auto group = file->GetBloomFilterReader().RowGroup(1);
    auto filter = group ? group->GetColumnBloomFilter(0) : nullptr;
    EXPECT_EQ(filter != nullptr, bloom_);
    if (!filter) return;
    for (const std::string& value : PhysicalValues(after, descr)) {
      if (value.empty()) continue;  // null, or the empty string
      const auto* bytes = reinterpret_cast<const uint8_t*>(value.data());
      if (descr->physical_type() == parquet::Type::BYTE_ARRAY) {
        const parquet::ByteArray v(static_cast<uint32_t>(value.size()), bytes);
        ASSERT_TRUE(filter->FindHash(filter->Hash(&v)));
      } else if (descr->physical_type() == parquet::Type::INT64) {
        int64_t v;
        std::memcpy(&v, bytes, sizeof(v));
        ASSERT_TRUE(filter->FindHash(filter->Hash(v)));
      }
    }
  }

  std::vector<std::string> PhysicalValues(const std::shared_ptr<arrow::Array>& array,
                                          const parquet::ColumnDescriptor* descr) {
    std::vector<RowMatch> all;
    for (int64_t i = 0; i < array->length(); ++i) all.push_back({i, i});
    const ColumnRecoder::TakeValues take = [&](std::span<const int64_t> ordinals) {
      return arrow::Result<std::shared_ptr<arrow::Array>>(
          array->Slice(ordinals.front(), static_cast<int64_t>(ordinals.size())));
    };
    NewValues values(&all, &take, descr, context_.encode_pool);
    std::vector<std::string> out;
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_TRUE(values.Seek(i).ok());
      out.emplace_back(values.value(i));
    }
    return out;
  }

  static bool SameBits(const arrow::Array& a, int64_t i, const arrow::Array& b, int64_t j) {
    if (a.IsNull(i) || b.IsNull(j)) return a.IsNull(i) && b.IsNull(j);
    const auto left = a.GetScalar(i).ValueOrDie();
    const auto right = b.GetScalar(j).ValueOrDie();
    // Floating point by its bits: NaNs are equal, the two zeros are not.
    if (arrow::is_floating(a.type_id())) {
      using Primitive = arrow::internal::PrimitiveScalarBase;
      return static_cast<const Primitive&>(*left).view() ==
             static_cast<const Primitive&>(*right).view();
    }
    return left->Equals(*right);
  }

  std::shared_ptr<arrow::Array> RandomArray(int64_t length, int64_t distinct);
  void MakeProperties();
  void Write();
  void MakeEdits();

  arrow::Result<std::unique_ptr<ParquetAssembler>> StartFile(
      const std::shared_ptr<ParquetSource>& file, const std::string& out) {
    ::unlink(out.c_str());
    ARROW_ASSIGN_OR_RAISE(auto staged, Storage::Posix()->CreateFile(out, 0644));
    ARROW_ASSIGN_OR_RAISE(auto assembler,
                          ParquetAssembler::Make(std::move(staged), file, context_.encode_pool));
    ARROW_RETURN_NOT_OK(assembler->CopyRowGroup(0));
    ARROW_RETURN_NOT_OK(assembler->BeginRowGroup(1));
    return assembler;
  }

  arrow::Status TryPatch(const std::string& out, PatchOutcome* outcome) {
    ARROW_ASSIGN_OR_RAISE(auto file, ParquetSource::Open(path_, context_.budget));
    ARROW_ASSIGN_OR_RAISE(const BaseChunk chunk, BaseChunk::Of(file, 1, 0));
    ARROW_ASSIGN_OR_RAISE(const ListedPages pages, ListPages(chunk, context_.encode_pool));
    outcome->could_patch = PagePatcher::CanPatch(chunk, pages);
    if (!outcome->could_patch) return arrow::Status::OK();
    std::unique_ptr<ParquetAssembler> assembler;
    const auto begin = [&]() -> arrow::Result<ParquetAssembler*> {
      ARROW_ASSIGN_OR_RAISE(assembler, StartFile(file, out));
      return assembler.get();
    };
    outcome->changed.assign(edits_.size(), 0);
    PagePatcher patcher(&chunk, &pages, &edits_, &take_, &context_);
    ARROW_ASSIGN_OR_RAISE(outcome->written, patcher.Run(begin, &outcome->changed));
    if (!outcome->written) return arrow::Status::OK();
    ARROW_RETURN_NOT_OK(assembler->EndRowGroup(after_->length() - first_group_));
    return assembler->Finish().status();
  }

  std::mt19937& random_;
  const std::string path_;
  MergeOptions options_;
  RunContext context_;
  std::string description_;
  std::shared_ptr<arrow::DataType> type_;
  bool nullable_ = false;
  bool bloom_ = false;
  bool removals_ = false;
  int64_t distinct_ = 0;
  double null_share_ = 0;
  int64_t first_group_ = 0;
  int64_t group_rows_ = 0;
  std::shared_ptr<arrow::Array> before_;
  std::shared_ptr<arrow::Array> fresh_;
  std::shared_ptr<arrow::Array> after_;  ///< of the whole file
  std::shared_ptr<parquet::WriterProperties> properties_;
  std::string good_;
  ChunkRange chunk_;
  std::vector<RowMatch> edits_;
  ColumnRecoder::TakeValues take_;
};

}  // namespace floodwall::testing
