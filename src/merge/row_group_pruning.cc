#include "merge/row_group_pruning.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "dataset/bloom_probe.h"
#include "dataset/chunk_pages.h"
#include "dataset/parquet_thrift.h"
#include "parquet/exception.h"
#include "parquet/statistics.h"

namespace floodwall {
namespace {

/// A filter that lets pass more than this share of row groups in vain is not asked.
constexpr double kMostFalseShare = 0.5;
/// What is asked must be this many times smaller than what it may spare.
constexpr int64_t kWorth = 4;
/// An index beyond this is not read.
constexpr int64_t kMostIndexBytes = int64_t{4} << 20;

std::vector<RowRange> Intersect(const std::vector<RowRange>& a, const std::vector<RowRange>& b) {
  std::vector<RowRange> out;
  for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
    const RowRange both{std::max(x->begin, y->begin), std::min(x->end, y->end)};
    if (both.begin < both.end) out.push_back(both);
    x->end < y->end ? ++x : ++y;
  }
  return out;
}

class Pruner {
 public:
  Pruner(const KeyRanges& keys, std::shared_ptr<ParquetSource> file, int row_group,
         GuardedPool* pool)
      : keys_(keys), file_(std::move(file)), row_group_(row_group), pool_(pool) {}

  arrow::Result<KeptRows> Run() {
    ARROW_ASSIGN_OR_RAISE(const bool may_match, keys_.MayMatch(*file_, row_group_));
    if (!may_match) return std::move(out_);
    const RowRange all{0, file_->row_group_rows(row_group_)};
    if (all.end > 0) out_.ranges = {all};
    stored_ = keys_.StoredIn(*file_);
    for (const auto& key : stored_) whole_bytes_ += file_->chunk_range(row_group_, key.leaf).length;
    ARROW_RETURN_NOT_OK(FindComparable());
    for (const KeyRanges::StoredKey& key : without_null_) {
      ARROW_ASSIGN_OR_RAISE(const bool may_hold, FilterMayHold(key));
      if (!may_hold) return Nothing();
    }
    ARROW_RETURN_NOT_OK(AskPageIndex());
    for (const KeyRanges::StoredKey& key : without_null_) {
      if (out_.ranges.empty()) break;
      ARROW_ASSIGN_OR_RAISE(const bool may_hold, DictionaryMayHold(key));
      if (!may_hold) return Nothing();
    }
    return std::move(out_);
  }

 private:
  KeptRows Nothing() {
    out_.ranges.clear();
    out_.pages.reset();
    return std::move(out_);
  }

  int64_t bytes_to_read() const { return out_.pages ? out_.pages->bytes() : whole_bytes_; }

  /// The keys that can be asked for, and of those the ones that no null matches.
  arrow::Status FindComparable() {
    for (const KeyRanges::StoredKey& key : stored_) {
      const auto& descr = *file_->schema().Column(key.leaf);
      if (!key.values->CanCompare(descr) || descr.max_repetition_level() > 0) continue;
      comparable_.push_back(key);
      if (!key.values->has_null() || descr.max_definition_level() == 0) {
        without_null_.push_back(key);
        continue;
      }
      ARROW_ASSIGN_OR_RAISE(const auto metadata, file_->RowGroupMetadata(row_group_));
      try {
        const auto statistics = metadata->RowGroup(0)->ColumnChunk(key.leaf)->statistics();
        if (statistics != nullptr && statistics->HasNullCount() && statistics->null_count() == 0) {
          without_null_.push_back(key);
        }
      } catch (const parquet::ParquetException& error) {
        return file_->Corrupt(error.what());
      }
    }
    return arrow::Status::OK();
  }

  arrow::Result<bool> FilterMayHold(const KeyRanges::StoredKey& key) {
    if (!key.values->exact() || !file_->has_bloom_filter(row_group_, key.leaf)) return true;
    const auto count = static_cast<int64_t>(key.values->count());
    if (count * BloomProbe::kBlockBytes * kWorth > whole_bytes_) return true;
    ARROW_ASSIGN_OR_RAISE(const auto filter, BloomProbe::Open(file_, row_group_, key.leaf));
    if (!filter) return true;
    const int64_t rows = file_->row_group_rows(row_group_);
    if (static_cast<double>(count) * filter->FalseShare(rows) > kMostFalseShare) return true;
    std::vector<uint64_t> hashes;
    key.values->AppendHashes(*file_->schema().Column(key.leaf), &hashes);
    for (const uint64_t hash : hashes) {
      out_.bytes_read += BloomProbe::kBlockBytes;
      ARROW_ASSIGN_OR_RAISE(const bool may_hold, filter->MayHold(hash));
      if (may_hold) return true;
    }
    return false;
  }

  static bool Bounded(const PageIndex::Bounds& bounds, const parquet::ColumnDescriptor& descr) {
    const size_t width = descr.physical_type() == parquet::Type::INT32   ? sizeof(int32_t)
                         : descr.physical_type() == parquet::Type::INT64 ? sizeof(int64_t)
                                                                         : 0;
    return width == 0 || (bounds.min.size() == width && bounds.max.size() == width);
  }

  /// Rows of the pages that may hold a value.
  std::vector<RowRange> MayHold(const KeyValues& values, const parquet::ColumnDescriptor& descr,
                                const PageIndex& index) const {
    std::vector<RowRange> out;
    for (size_t p = 0; p < index.pages().size(); ++p) {
      const PageIndex::Bounds& bounds = index.bounds(p);
      bool keep = values.has_null() && bounds.null_count.value_or(1) > 0;
      if (!bounds.all_null) {
        keep = keep || !Bounded(bounds, descr) || values.MayLieWithin(bounds.min, bounds.max);
      }
      if (!keep) continue;
      const RowRange& rows = index.pages()[p].rows;
      if (!out.empty() && out.back().end == rows.begin) {
        out.back().end = rows.end;
      } else {
        out.push_back(rows);
      }
    }
    return out;
  }

  arrow::Status AskPageIndex() {
    // Without the pages of every key column, rows cannot be read by halves.
    if (comparable_.empty() || out_.ranges.empty()) return arrow::Status::OK();
    for (const KeyRanges::StoredKey& key : stored_) {
      if (!file_->has_page_index(row_group_, key.leaf)) return arrow::Status::OK();
    }
    const int64_t most = std::min(kMostIndexBytes, whole_bytes_ / kWorth);
    std::vector<PageIndex> indexes;
    for (const KeyRanges::StoredKey& key : stored_) {
      ARROW_ASSIGN_OR_RAISE(auto index, PageIndex::Read(*file_, row_group_, key.leaf, most));
      if (!index) return arrow::Status::OK();
      out_.bytes_read += index->index_bytes();
      indexes.push_back(std::move(*index));
    }
    // Every other page may be left out; so many ranges are held by vectors that grow, twice.
    size_t most_pages = 0;
    for (const PageIndex& index : indexes) most_pages += index.pages().size();
    auto charge = Reservation::Make(
        file_->budget(), static_cast<int64_t>(3 * (most_pages / 2 + 1) * sizeof(RowRange)));
    if (!charge.ok()) return arrow::Status::OK();
    std::vector<RowRange> kept = out_.ranges;
    for (size_t k = 0; k < stored_.size(); ++k) {
      const auto& descr = *file_->schema().Column(stored_[k].leaf);
      if (!indexes[k].has_bounds() || !stored_[k].values->CanCompare(descr) ||
          descr.column_order().get_order() != parquet::ColumnOrder::TYPE_DEFINED_ORDER) {
        continue;
      }
      kept = Intersect(kept, MayHold(*stored_[k].values, descr, indexes[k]));
    }
    int64_t rows = 0;
    for (const RowRange& range : kept) rows += range.end - range.begin;
    // Reading around a few pages costs about what they do.
    if (rows > file_->row_group_rows(row_group_) / kWorth * (kWorth - 1)) {
      return arrow::Status::OK();
    }
    auto pages = std::make_shared<SelectedPages>(file_, row_group_);
    for (size_t k = 0; k < stored_.size(); ++k) {
      ARROW_ASSIGN_OR_RAISE(const bool added, pages->Add(stored_[k].leaf, indexes[k], kept));
      if (!added) return arrow::Status::OK();
    }
    kept.shrink_to_fit();
    ARROW_RETURN_NOT_OK(charge->Resize(static_cast<int64_t>(kept.size() * sizeof(RowRange))));
    out_.charge = *std::move(charge);
    out_.ranges = std::move(kept);
    if (!out_.ranges.empty()) out_.pages = std::move(pages);
    return arrow::Status::OK();
  }

  /// Whether no data page of the chunk has values of its own.
  arrow::Result<bool> AllInDictionary(int leaf) const {
    ARROW_ASSIGN_OR_RAISE(const auto metadata, file_->RowGroupMetadata(row_group_));
    bool any = false;
    bool all = true;
    for (const auto& pages : metadata->RowGroup(0)->ColumnChunk(leaf)->encoding_stats()) {
      if (pages.page_type != parquet::PageType::DATA_PAGE &&
          pages.page_type != parquet::PageType::DATA_PAGE_V2) {
        continue;
      }
      any = true;
      all = all && (pages.encoding == parquet::Encoding::RLE_DICTIONARY ||
                    pages.encoding == parquet::Encoding::PLAIN_DICTIONARY || pages.count == 0);
    }
    if (any && !all) return false;
    const auto summary = file_->ScanPages(row_group_, leaf);
    if (!summary.ok() && summary.status().IsIOError()) return summary.status();
    return summary.ok() && summary->all_dictionary_encoded && summary->page_count > 0;
  }

  arrow::Result<bool> DictionaryMayHold(const KeyRanges::StoredKey& key) {
    const ChunkRange range = file_->chunk_range(row_group_, key.leaf);
    if (range.length == 0) return true;
    const int64_t end = range.offset + range.length;
    const auto entry = ReadPageEntry(*file_, range.offset, end, /*dictionary=*/true);
    if (!entry.ok()) return entry.status().IsIOError() ? entry.status() : Keep();
    if (!*entry || (*entry)->total_bytes() * kWorth > bytes_to_read() ||
        ((*entry)->encoding != parquet_field::kEncodingPlain &&
         (*entry)->encoding != parquet_field::kEncodingPlainDictionary)) {
      return true;
    }
    const auto found = LoadAndLook(key, **entry);
    // Whoever reads the rows will say what is wrong with the page.
    if (!found.ok()) return found.status().IsIOError() ? found.status() : Keep();
    if (*found) return true;
    ARROW_ASSIGN_OR_RAISE(const bool all, AllInDictionary(key.leaf));
    return !all;
  }

  static arrow::Result<bool> Keep() { return true; }

  arrow::Result<bool> LoadAndLook(const KeyRanges::StoredKey& key, const PageEntry& entry) {
    ARROW_ASSIGN_OR_RAISE(const BaseChunk chunk, BaseChunk::Of(file_, row_group_, key.leaf));
    PageLoader loader(pool_);
    ARROW_RETURN_NOT_OK(loader.Open(chunk));
    out_.bytes_read += entry.total_bytes();
    ARROW_ASSIGN_OR_RAISE(const LoadedPage page, loader.Load(entry));
    const std::string_view values(reinterpret_cast<const char*>(page.values.data()),
                                  page.values.size());
    size_t at = 0;
    for (int32_t i = 0; i < entry.num_values; ++i) {
      uint32_t length =
          chunk.descr->physical_type() == parquet::Type::INT32 ? sizeof(int32_t) : sizeof(int64_t);
      if (chunk.descr->physical_type() == parquet::Type::BYTE_ARRAY) {
        if (values.size() - at < sizeof(length)) return true;
        std::memcpy(&length, values.data() + at, sizeof(length));
        at += sizeof(length);
      }
      if (values.size() - at < length || key.values->MayBe(values.substr(at, length))) return true;
      at += length;
    }
    return false;
  }

  const KeyRanges& keys_;
  const std::shared_ptr<ParquetSource> file_;
  const int row_group_;
  GuardedPool* const pool_;
  std::vector<KeyRanges::StoredKey> stored_;
  std::vector<KeyRanges::StoredKey> comparable_;
  std::vector<KeyRanges::StoredKey> without_null_;
  int64_t whole_bytes_ = 0;  ///< of the key columns
  KeptRows out_;
};

}  // namespace

arrow::Result<KeptRows> FindKeptRows(const KeyRanges& keys,
                                     const std::shared_ptr<ParquetSource>& file, int row_group,
                                     GuardedPool* pool) {
  return Pruner(keys, file, row_group, pool).Run();
}

}  // namespace floodwall
