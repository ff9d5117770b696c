#include "floodwall/inspection.h"

#include <algorithm>
#include <map>

#include "arrow/util/compression.h"
#include "dataset/commit.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/column_recoder.h"
#include "merge/new_file.h"
#include "merge/partitions.h"
#include "merge/rewrite_need.h"
#include "merge/spilled_match.h"
#include "parquet/exception.h"
#include "parquet/types.h"

namespace floodwall {
namespace {

/// Footers and page headers; more than any dataset that a merge accepts would need.
constexpr int64_t kInspectionLimit = int64_t{1} << 30;

std::string TypeOf(const parquet::ColumnDescriptor& column) {
  std::string out = parquet::TypeToString(column.physical_type());
  if (column.physical_type() == parquet::Type::FIXED_LEN_BYTE_ARRAY) {
    out += "(" + std::to_string(column.type_length()) + ")";
  }
  const auto& logical = column.logical_type();
  if (logical && logical->is_valid() && !logical->is_none()) out += " " + logical->ToString();
  return out;
}

class Inspector {
 public:
  explicit Inspector(const MergeOptions& options) : context_(options) {}

  arrow::Result<DatasetInspection> Run(const std::string& path) {
    ARROW_ASSIGN_OR_RAISE(out_.recovery, RecoverDataset(Storage::Posix(), path));
    ARROW_ASSIGN_OR_RAISE(const DatasetListing listing, ListDataset(path));
    if (!listing.exists) {
      return MakeError(ErrorKind::kInvalidMerge, "no Parquet file in '" + path + "'");
    }
    ARROW_ASSIGN_OR_RAISE(const Partitions partitions,
                          Partitions::Of(listing, *arrow::schema({}), &context_));
    out_.partition_columns = partitions.columns();
    for (const DatasetFile& file : listing.files) {
      ARROW_RETURN_NOT_OK(AddFile(listing.AbsolutePath(file.relative_path), file.version));
    }
    // Rewriting, matching a few keys, adding a few rows. New values are there twice, a slice of
    // one column at a time.
    const int64_t values = 8 * ColumnRecoder::kSliceRows * std::min<int64_t>(widest_, 1024);
    const int64_t need =
        std::max({task_ + values + RewriteNeed::kLeastShare + kMiB +
                      out_.largest_row_group_rows * static_cast<int64_t>(sizeof(RowMatch)),
                  4 * kSpilledReadRoom + kMiB, NewFile::kEncoderBytes + 8 * NewFile::kSliceBytes});
    out_.minimum_merge_bytes = need + need / 16;
    return std::move(out_);
  }

 private:
  arrow::Status AddFile(const std::string& path, const FileVersion& version) {
    ARROW_ASSIGN_OR_RAISE(auto file, ParquetSource::Open(path, context_.read_pool->budget()));
    ++out_.files;
    out_.rows += file->num_rows();
    out_.size_bytes += version.size_bytes;
    out_.row_groups += file->num_row_groups();
    std::vector<size_t> columns;
    for (int c = 0; c < file->num_columns(); ++c) {
      columns.push_back(PlaceOf(*file->schema().Column(c), version.mtime_ns));
      ++out_.columns[columns.back()].files;
    }
    for (int g = 0; g < file->num_row_groups(); ++g) {
      int64_t bytes = 0;
      for (int c = 0; c < file->num_columns(); ++c) {
        ARROW_RETURN_NOT_OK(AddChunk(*file, g, c, &out_.columns[columns[static_cast<size_t>(c)]]));
        bytes += file->chunk_range(g, c).length;
      }
      out_.largest_row_group_bytes = std::max(out_.largest_row_group_bytes, bytes);
      out_.largest_row_group_rows = std::max(out_.largest_row_group_rows, file->row_group_rows(g));
    }
    ARROW_ASSIGN_OR_RAISE(const int64_t task, WholeRowGroupNeed(file, context_.read_pool));
    task_ = std::max(task_, task);
    return arrow::Status::OK();
  }

  /// Where the layout of a column is in the list; its type is the newest file's.
  size_t PlaceOf(const parquet::ColumnDescriptor& column, int64_t mtime_ns) {
    const std::string path = column.path()->ToDotString();
    auto [at, is_new] = places_.try_emplace(path, out_.columns.size(), mtime_ns);
    if (is_new) out_.columns.emplace_back().path = path;
    ColumnLayout& out = out_.columns[at->second.first];
    if (is_new || mtime_ns >= at->second.second) {
      at->second.second = mtime_ns;
      out.type = TypeOf(column);
    }
    return at->second.first;
  }

  arrow::Status AddChunk(const ParquetSource& file, int row_group, int column, ColumnLayout* out) {
    ARROW_ASSIGN_OR_RAISE(const auto metadata, file.RowGroupMetadata(row_group));
    const auto chunk = metadata->RowGroup(0)->ColumnChunk(column);
    out->compressed_bytes += chunk->total_compressed_size();
    out->uncompressed_bytes += chunk->total_uncompressed_size();
    widest_ = std::max(widest_, chunk->total_uncompressed_size() /
                                    std::max<int64_t>(1, file.row_group_rows(row_group)));
    const std::string codec = arrow::util::Codec::GetCodecAsString(chunk->compression());
    const auto at = std::lower_bound(out->codecs.begin(), out->codecs.end(), codec);
    if (at == out->codecs.end() || *at != codec) out->codecs.insert(at, codec);
    ARROW_ASSIGN_OR_RAISE(const PageSummary pages, file.ScanPages(row_group, column));
    out->largest_page_bytes = std::max(out->largest_page_bytes, pages.max_uncompressed_bytes);
    out->largest_dictionary_bytes =
        std::max(out->largest_dictionary_bytes, pages.dictionary_uncompressed_bytes);
    return arrow::Status::OK();
  }

  RunContext context_;
  DatasetInspection out_;
  /// By path: place in the list, and age of the file that gave the type.
  std::map<std::string, std::pair<size_t, int64_t>> places_;
  int64_t task_ = 0;
  int64_t widest_ = 32;  ///< bytes of a row's value, on average
};

}  // namespace

arrow::Result<DatasetInspection> Inspect(const std::string& path) {
  MergeOptions options;
  options.max_memory_bytes = kInspectionLimit;
  try {
    return Inspector(options).Run(path);
  } catch (const parquet::ParquetException& e) {
    return MakeError(ErrorKind::kUnsupportedFile, "cannot inspect '" + path + "': " + e.what());
  }
}

}  // namespace floodwall
