#include "merge/key_ranges.h"

#include "parquet/exception.h"
#include "parquet/statistics.h"

namespace floodwall {
namespace {

bool Meets(const KeyValues& values, const parquet::ColumnChunkMetaData& chunk) {
  const std::shared_ptr<parquet::Statistics> statistics = chunk.statistics();
  if (statistics == nullptr) return true;
  if (values.has_null() && (!statistics->HasNullCount() || statistics->null_count() > 0)) {
    return true;
  }
  // Statistics without bounds can also be those of a column whose values the writer cannot order.
  if (!statistics->HasMinMax()) return true;
  return values.MayLieWithin(statistics->EncodeMin(), statistics->EncodeMax());
}

}  // namespace

KeyRanges::KeyRanges(const std::vector<std::string>& key_columns, int64_t source_rows) {
  for (const std::string& name : key_columns) {
    columns_.emplace_back(name, source_rows <= kMostSortedRows);
  }
}

void KeyRanges::Observe(const std::vector<std::shared_ptr<arrow::Array>>& columns) {
  for (size_t c = 0; c < columns_.size(); ++c) columns_[c].Observe(*columns[c]);
}

std::vector<KeyRanges::StoredKey> KeyRanges::StoredIn(const ParquetSource& file) const {
  std::vector<StoredKey> out;
  for (const KeyValues& values : columns_) {
    for (int leaf = 0; leaf < file.num_columns(); ++leaf) {
      const auto* root = file.schema().GetColumnRoot(leaf);
      if (root->is_primitive() && root->name() == values.name()) out.push_back({&values, leaf});
    }
  }
  return out;
}

arrow::Result<bool> KeyRanges::MayMatch(const ParquetSource& file, int row_group) const {
  for (const StoredKey& key : StoredIn(file)) {
    if (!key.values->CanCompare(*file.schema().Column(key.leaf))) continue;
    ARROW_ASSIGN_OR_RAISE(const auto metadata, file.RowGroupMetadata(row_group));
    try {
      const auto chunk = metadata->RowGroup(0)->ColumnChunk(key.leaf);
      if (!Meets(*key.values, *chunk)) return false;
    } catch (const parquet::ParquetException& error) {
      return file.Corrupt(error.what());
    }
  }
  return true;
}

}  // namespace floodwall
