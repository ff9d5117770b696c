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

}  // namespace

void PatchedChunk::UpdateEncodings(Value* meta) const {
  Value* encodings = meta->Find(field::column_metadata::kEncodings);
  for (const EncodingCount& count : encodings_) {
    if (encodings == nullptr) break;
    const bool there =
        std::any_of(encodings->elements.begin(), encodings->elements.end(),
                    [&](const Value& value) { return value.integer == count.encoding; });
    if (!there) encodings->elements.push_back(thrift::Int(Type::kI32, count.encoding));
  }
  Value* stats = meta->Find(field::column_metadata::kEncodingStats);
  if (stats == nullptr) return;
  *stats = EmptyList(Type::kStruct);
  for (const EncodingCount& c : encodings_) {
    Value entry;
    entry.type = Type::kStruct;
    entry.SetInt(field::encoding_stats::kPageType, Type::kI32, c.page_type);
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

void PatchedChunk::UpdateSizeStatistics(Value* meta) const {
  const Value* before = meta->Find(field::column_metadata::kSizeStatistics);
  if (before == nullptr) return;
  Value sizes;
  sizes.type = Type::kStruct;
  const int64_t bytes = before->GetInt(field::size_statistics::kUnencodedBytes, -1);
  // Of shared prefixes see PatchedIndexes::LoadOffsetIndex.
  const bool known = !pages_->Uses(field::kEncodingDeltaByteArray);
  if (known && bytes >= 0 && bytes + value_bytes_delta_ >= 0) {
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
               first_page_ < 0 ? end : first_page_);
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
  chunk.column_chunk.shrink_to_fit();  // it is kept until the file ends
  ARROW_ASSIGN_OR_RAISE(chunk.column_index, indexes_->TakeColumnIndex());
  ARROW_ASSIGN_OR_RAISE(chunk.offset_index, indexes_->TakeOffsetIndex());
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
