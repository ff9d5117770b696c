// The metadata of a patched chunk: what PatchedChunk::Finish makes of the base chunk's.

#include <algorithm>

#include "arrow/io/memory.h"
#include "dataset/parquet_thrift.h"
#include "dataset/patched_chunk.h"
#include "floodwall/error.h"
#include "parquet/exception.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Type;
using thrift::Value;

Value EmptyList(Type element) {
  Value list;
  list.type = Type::kList;
  list.element_type = element;
  return list;
}

Value Bool(bool value) { return thrift::Int(value ? Type::kTrue : Type::kFalse, value ? 1 : 2); }

/// In a list a boolean is a byte: 1 is true, 2 (or, of some writers, 0) false.
bool IsTrue(const Value& value) { return value.integer == 1; }

}  // namespace

void PatchedChunk::UpdateEncodings(Value* meta) const {
  Value* encodings = meta->Find(field::column_metadata::kEncodings);
  const auto used = [&](int64_t encoding) {
    if (encodings == nullptr) return;
    const bool there = std::any_of(encodings->elements.begin(), encodings->elements.end(),
                                   [&](const Value& value) { return value.integer == encoding; });
    if (!there) encodings->elements.push_back(thrift::Int(Type::kI32, encoding));
  };
  struct Count {
    int64_t type;
    int64_t encoding;
    int64_t pages;
  };
  std::vector<Count> counts;
  const auto count = [&](int64_t type, int64_t encoding) {
    used(encoding);
    for (Count& c : counts) {
      if (c.type == type && c.encoding == encoding) {
        ++c.pages;
        return;
      }
    }
    counts.push_back({type, encoding, 1});
  };
  if (dictionary_offset_ >= 0) count(field::page_header::kTypeDictionary, dictionary_encoding_);
  for (const Emitted& page : emitted_) {
    count(page.v2 ? field::page_header::kTypeDataV2 : field::page_header::kTypeData, page.encoding);
  }
  Value* stats = meta->Find(field::column_metadata::kEncodingStats);
  if (stats == nullptr) return;
  *stats = EmptyList(Type::kStruct);
  for (const Count& c : counts) {
    Value entry;
    entry.type = Type::kStruct;
    entry.SetInt(field::encoding_stats::kPageType, Type::kI32, c.type);
    entry.SetInt(field::encoding_stats::kEncoding, Type::kI32, c.encoding);
    entry.SetInt(field::encoding_stats::kCount, Type::kI32, c.pages);
    stats->elements.push_back(std::move(entry));
  }
}

void PatchedChunk::UpdateStatistics(Value* meta) const {
  const Value* before = meta->Find(field::column_metadata::kStatistics);
  if (before == nullptr) return;
  // Made from nothing: counts of distinct values and the old bounds without an order are not
  // known any more.
  Value statistics;
  statistics.type = Type::kStruct;
  const int64_t nulls = before->GetInt(field::statistics::kNullCount, -1);
  if (nulls >= 0 && nulls + nulls_delta_ >= 0 && nulls + nulls_delta_ <= rows_) {
    statistics.SetInt(field::statistics::kNullCount, Type::kI64, nulls + nulls_delta_);
  }
  bounds_.WriteTo(&statistics);
  if (statistics.fields.empty()) {
    meta->Erase(field::column_metadata::kStatistics);
  } else {
    meta->Set(field::column_metadata::kStatistics, std::move(statistics));
  }
}

bool PatchedChunk::ValueBytesKnown() const {
  // Arrow counts the suffixes only where prefixes are shared: such a number is no base to add to.
  return std::none_of(pages_->data.begin(), pages_->data.end(), [](const PageEntry& page) {
    return page.encoding == field::kEncodingDeltaByteArray;
  });
}

void PatchedChunk::UpdateSizeStatistics(Value* meta) const {
  const Value* before = meta->Find(field::column_metadata::kSizeStatistics);
  if (before == nullptr) return;
  Value sizes;
  sizes.type = Type::kStruct;
  const int64_t bytes = before->GetInt(field::size_statistics::kUnencodedBytes, -1);
  if (ValueBytesKnown() && bytes >= 0 && bytes + value_bytes_delta_ >= 0) {
    sizes.SetInt(field::size_statistics::kUnencodedBytes, Type::kI64, bytes + value_bytes_delta_);
  }
  const Value* levels = before->Find(field::size_statistics::kDefinitionHistogram);
  if (levels != nullptr && levels->elements.size() == 2 &&
      chunk_->descr->max_definition_level() == 1) {
    Value histogram = *levels;
    histogram.elements[0].integer += nulls_delta_;
    histogram.elements[1].integer += rows_delta_ - nulls_delta_;
    if (histogram.elements[0].integer >= 0 && histogram.elements[1].integer >= 0) {
      sizes.Set(field::size_statistics::kDefinitionHistogram, std::move(histogram));
    }
  }
  if (sizes.fields.empty()) {
    meta->Erase(field::column_metadata::kSizeStatistics);
  } else {
    meta->Set(field::column_metadata::kSizeStatistics, std::move(sizes));
  }
}

bool PatchedChunk::OrderHolds(const Value& index, bool ascending) const {
  const auto& nulls = index.Find(field::column_index::kNullPages)->elements;
  const auto& mins = index.Find(field::column_index::kMinValues)->elements;
  const auto& maxs = index.Find(field::column_index::kMaxValues)->elements;
  const Value* last_min = nullptr;
  const Value* last_max = nullptr;
  for (size_t i = 0; i < nulls.size(); ++i) {
    if (IsTrue(nulls[i])) continue;
    if (!order_->Bounds(mins[i].bytes) || !order_->Bounds(maxs[i].bytes)) return false;
    if (last_min != nullptr) {
      const auto descends = [&](const Value& a, const Value& b) {
        return ascending ? order_->Less(b.bytes, a.bytes) : order_->Less(a.bytes, b.bytes);
      };
      if (descends(*last_min, mins[i]) || descends(*last_max, maxs[i])) return false;
    }
    last_min = &mins[i];
    last_max = &maxs[i];
  }
  return true;
}

std::string PatchedChunk::MakeColumnIndex() const {
  if (!column_index_ || emitted_.empty()) return {};
  const Value& base = *column_index_;
  const size_t pages = pages_->data.size();
  const auto list = [&](int16_t id, size_t per_page) -> const Value* {
    const Value* found = base.Find(id);
    return found != nullptr && found->type == Type::kList &&
                   found->elements.size() == pages * per_page
               ? found
               : nullptr;
  };
  const Value* null_counts = list(field::column_index::kNullCounts, 1);
  const Value* levels = chunk_->descr->max_definition_level() == 1
                            ? list(field::column_index::kDefinitionHistograms, 2)
                            : nullptr;
  Value null_pages = EmptyList(base.Find(field::column_index::kNullPages)->element_type);
  Value mins = EmptyList(Type::kBinary);
  Value maxs = EmptyList(Type::kBinary);
  Value counts = EmptyList(Type::kI64);
  Value histograms = EmptyList(Type::kI64);
  for (const Emitted& page : emitted_) {
    const size_t p = page.base_page;
    if (!page.changed) {
      null_pages.elements.push_back(base.Find(field::column_index::kNullPages)->elements[p]);
      mins.elements.push_back(base.Find(field::column_index::kMinValues)->elements[p]);
      maxs.elements.push_back(base.Find(field::column_index::kMaxValues)->elements[p]);
      if (null_counts != nullptr) counts.elements.push_back(null_counts->elements[p]);
      if (levels != nullptr) {
        histograms.elements.push_back(levels->elements[2 * p]);
        histograms.elements.push_back(levels->elements[2 * p + 1]);
      }
      continue;
    }
    const bool null_page = page.nulls == page.rows;
    // One page without bounds leaves no index: readers would skip it or trip over it.
    if (!null_page && !page.has_bounds) return {};
    null_pages.elements.push_back(Bool(null_page));
    mins.elements.push_back(thrift::Binary(null_page ? std::string() : page.min));
    maxs.elements.push_back(thrift::Binary(null_page ? std::string() : page.max));
    counts.elements.push_back(thrift::Int(Type::kI64, page.nulls));
    histograms.elements.push_back(thrift::Int(Type::kI64, page.nulls));
    histograms.elements.push_back(thrift::Int(Type::kI64, page.rows - page.nulls));
  }
  Value out;
  out.type = Type::kStruct;
  out.Set(field::column_index::kNullPages, std::move(null_pages));
  out.Set(field::column_index::kMinValues, std::move(mins));
  out.Set(field::column_index::kMaxValues, std::move(maxs));
  const int64_t order = base.GetInt(field::column_index::kBoundaryOrder, 0);
  const bool holds = order != field::column_index::kUnordered &&
                     OrderHolds(out, order == field::column_index::kAscending);
  out.SetInt(field::column_index::kBoundaryOrder, Type::kI32,
             holds ? order : field::column_index::kUnordered);
  if (null_counts != nullptr) out.Set(field::column_index::kNullCounts, std::move(counts));
  if (levels != nullptr) {
    out.Set(field::column_index::kDefinitionHistograms, std::move(histograms));
  }
  std::string bytes;
  thrift::AppendStruct(out, &bytes);
  return bytes;
}

std::string PatchedChunk::MakeOffsetIndex() const {
  if (!offset_index_ || emitted_.empty()) return {};
  const Value* bytes_before = offset_index_->Find(field::offset_index::kUnencodedBytes);
  if (bytes_before != nullptr &&
      (!ValueBytesKnown() || bytes_before->elements.size() != pages_->data.size())) {
    bytes_before = nullptr;
  }
  Value locations = EmptyList(Type::kStruct);
  Value value_bytes = EmptyList(Type::kI64);
  int64_t row = 0;
  for (const Emitted& page : emitted_) {
    Value location;
    location.type = Type::kStruct;
    location.SetInt(field::page_location::kOffset, Type::kI64, page.offset);
    location.SetInt(field::page_location::kCompressedPageSize, Type::kI32, page.bytes);
    location.SetInt(field::page_location::kFirstRow, Type::kI64, row);
    locations.elements.push_back(std::move(location));
    row += page.rows;
    if (bytes_before != nullptr) {
      const int64_t bytes = bytes_before->elements[page.base_page].integer + page.value_bytes_delta;
      if (bytes < 0 || page.divided) bytes_before = nullptr;
      value_bytes.elements.push_back(thrift::Int(Type::kI64, bytes));
    }
  }
  Value out;
  out.type = Type::kStruct;
  out.Set(field::offset_index::kPageLocations, std::move(locations));
  if (bytes_before != nullptr) {
    out.Set(field::offset_index::kUnencodedBytes, std::move(value_bytes));
  }
  std::string bytes;
  thrift::AppendStruct(out, &bytes);
  return bytes;
}

arrow::Status PatchedChunk::Finish(bool only_rows_removed) {
  const int64_t end = assembler_->sink()->position();
  Value tree = chunk_->tree;
  if (tree.GetInt(field::column_chunk::kFileOffset, 0) > 0) {
    tree.SetInt(field::column_chunk::kFileOffset, Type::kI64, start_);
  }
  Value* meta = tree.Find(field::column_chunk::kMetaData);
  meta->SetInt(field::column_metadata::kNumValues, Type::kI64, rows_);
  meta->SetInt(field::column_metadata::kTotalUncompressedSize, Type::kI64, uncompressed_);
  meta->SetInt(field::column_metadata::kTotalCompressedSize, Type::kI64, end - start_);
  meta->SetInt(field::column_metadata::kDataPageOffset, Type::kI64,
               emitted_.empty() ? end : emitted_.front().offset);
  meta->Erase(field::column_metadata::kIndexPageOffset);
  meta->Erase(field::column_metadata::kDictionaryPageOffset);
  if (dictionary_offset_ >= 0) {
    meta->SetInt(field::column_metadata::kDictionaryPageOffset, Type::kI64, dictionary_offset_);
  }
  meta->Erase(field::column_metadata::kGeospatialStatistics);
  UpdateEncodings(meta);
  UpdateStatistics(meta);
  UpdateSizeStatistics(meta);
  EncodedChunk chunk;
  chunk.only_rows_removed = only_rows_removed;
  thrift::AppendStruct(tree, &chunk.column_chunk);
  chunk.column_index = MakeColumnIndex();
  chunk.offset_index = MakeOffsetIndex();
  if (bloom_) {
    ARROW_ASSIGN_OR_RAISE(auto sink, arrow::io::BufferOutputStream::Create(1024, pool_));
    try {
      bloom_->WriteTo(sink.get());
    } catch (const parquet::ParquetException& e) {
      return arrow::Status::IOError(e.what());
    }
    ARROW_ASSIGN_OR_RAISE(auto buffer, sink->Finish());
    chunk.bloom_filter = buffer->ToString();
  }
  return assembler_->AddEncodedChunk(chunk_->column, std::move(chunk));
}

}  // namespace floodwall
