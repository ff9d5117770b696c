#include "dataset/patched_chunk.h"

#include <algorithm>
#include <cstring>

#include "arrow/io/memory.h"
#include "arrow/util/crc32.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"
#include "parquet/exception.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Type;
using thrift::Value;

constexpr int64_t kMaxVarint = 10;

int64_t PutVarint(uint64_t value, uint8_t* to) {
  int64_t n = 0;
  for (; value >= 0x80; value >>= 7) to[n++] = static_cast<uint8_t>(value | 0x80);
  to[n++] = static_cast<uint8_t>(value);
  return n;
}

/// Length of the number at the start.
size_t VarintBytes(std::span<const uint8_t> bytes) {
  size_t n = 0;
  while (n < bytes.size() && (bytes[n] & 0x80) != 0) ++n;
  return std::min(n + 1, bytes.size());
}

}  // namespace

arrow::Result<std::unique_ptr<PatchedChunk>> PatchedChunk::Make(
    const BaseChunk* chunk, const ListedPages* pages, const ValueOrder* order, PageLoader* loader,
    ByteBuffer* compressed, GuardedPool* pool) {
  auto out = std::unique_ptr<PatchedChunk>(new PatchedChunk());
  out->chunk_ = chunk;
  out->pages_ = pages;
  out->order_ = order;
  out->loader_ = loader;
  out->compressed_ = compressed;
  out->pool_ = pool;
  out->trusted_ = order->known() && chunk->trusted_statistics;
  const Value* statistics =
      chunk->tree.Find(field::column_chunk::kMetaData)->Find(field::column_metadata::kStatistics);
  out->bounds_ = ValueBounds(order, false);
  if (out->trusted_ && statistics != nullptr) {
    const bool all_null =
        statistics->GetInt(field::statistics::kNullCount, -1) == pages->num_values;
    out->bounds_ =
        all_null ? ValueBounds(order, true) : ValueBounds::FromStatistics(order, statistics);
  }
  ARROW_ASSIGN_OR_RAISE(out->indexes_,
                        PatchedIndexes::Make(chunk, pages, order, out->trusted_, pool));
  ARROW_RETURN_NOT_OK(out->LoadBloomFilter());
  return out;
}

arrow::Status PatchedChunk::LoadBloomFilter() {
  ARROW_ASSIGN_OR_RAISE(auto held, Reservation::Make(pool_->budget(), 0));
  ARROW_ASSIGN_OR_RAISE(const std::string bytes,
                        chunk_->file->ReadBloomFilter(chunk_->row_group, chunk_->column, &held));
  if (bytes.empty()) return arrow::Status::OK();
  arrow::io::BufferReader stream(arrow::Buffer::FromString(bytes));
  try {
    bloom_ = std::make_unique<parquet::BlockSplitBloomFilter>(
        parquet::BlockSplitBloomFilter::Deserialize(parquet::ReaderProperties(pool_), &stream));
  } catch (const parquet::ParquetException& e) {
    return MakeError(ErrorKind::kUnsupportedFile, "a bloom filter of '" + chunk_->file->path() +
                                                      "' cannot be read: " + e.what());
  }
  return arrow::Status::OK();
}

void PatchedChunk::Start(ParquetAssembler* assembler) {
  assembler_ = assembler;
  start_ = assembler->sink()->position();
}

arrow::Result<ValueBounds> PatchedChunk::PageBounds(size_t base_page, const Value& header) {
  if (!trusted_) return ValueBounds(order_, false);
  ARROW_RETURN_NOT_OK(indexes_->Seek(base_page));
  if (auto bounds = indexes_->Bounds()) return *std::move(bounds);
  const bool v2 = pages_->data[base_page].v2;
  const Value* data =
      header.Find(v2 ? field::page_header::kDataPageV2 : field::page_header::kDataPage);
  return ValueBounds::FromStatistics(
      order_, data->Find(v2 ? field::data_page_v2::kStatistics : field::data_page::kStatistics));
}

void PatchedChunk::NoteNewValue(std::string_view value) {
  if (!bloom_) return;
  const auto* bytes = reinterpret_cast<const uint8_t*>(value.data());
  const auto fixed = [&]<typename T>(T out) {
    std::memcpy(&out, bytes, sizeof(T));
    return bloom_->Hash(out);
  };
  switch (chunk_->descr->physical_type()) {
    case parquet::Type::INT32: return bloom_->InsertHash(fixed(int32_t{}));
    case parquet::Type::INT64: return bloom_->InsertHash(fixed(int64_t{}));
    case parquet::Type::FLOAT: return bloom_->InsertHash(fixed(float{}));
    case parquet::Type::DOUBLE: return bloom_->InsertHash(fixed(double{}));
    case parquet::Type::INT96: {
      parquet::Int96 out;
      std::memcpy(&out, bytes, sizeof(out));
      return bloom_->InsertHash(bloom_->Hash(&out));
    }
    case parquet::Type::BYTE_ARRAY: {
      const parquet::ByteArray out(static_cast<uint32_t>(value.size()), bytes);
      return bloom_->InsertHash(bloom_->Hash(&out));
    }
    case parquet::Type::FIXED_LEN_BYTE_ARRAY: {
      const parquet::FixedLenByteArray out(bytes);
      return bloom_->InsertHash(bloom_->Hash(&out, static_cast<uint32_t>(value.size())));
    }
    default: return;
  }
}

arrow::Status PatchedChunk::Emit(Value header, std::span<const uint8_t> body,
                                 int64_t stored_bytes) {
  // Levels of version 2 and pages marked so stay as they are; the rest is compressed.
  const auto stored = static_cast<size_t>(stored_bytes);
  std::span<const uint8_t> rest = body.subspan(stored);
  if (loader_->codec() != nullptr && !rest.empty()) {
    compressed_->Clear();
    ARROW_RETURN_NOT_OK(AppendCompressed(rest));
    rest = compressed_->span();
  }
  return EmitStored(std::move(header), body.first(stored), rest, std::ssize(body));
}

arrow::Status PatchedChunk::AppendCompressed(std::span<const uint8_t> bytes) {
  auto* codec = loader_->codec();
  const int64_t start = compressed_->size();
  const int64_t most = codec->MaxCompressedLen(std::ssize(bytes), bytes.data());
  ARROW_RETURN_NOT_OK(compressed_->Resize(start + most));
  ARROW_ASSIGN_OR_RAISE(const int64_t length, codec->Compress(std::ssize(bytes), bytes.data(), most,
                                                              compressed_->data() + start));
  return compressed_->Resize(start + length);
}

arrow::Status PatchedChunk::EmitStored(Value header, std::span<const uint8_t> head,
                                       std::span<const uint8_t> rest, int64_t uncompressed) {
  const auto total = static_cast<int64_t>(head.size() + rest.size());
  if (total > INT32_MAX || uncompressed > INT32_MAX) {
    return MakeError(ErrorKind::kUnsupportedFile,
                     "a page of '" + chunk_->file->path() + "' would grow beyond 2 GiB");
  }
  header.SetInt(field::page_header::kUncompressedSize, Type::kI32, uncompressed);
  header.SetInt(field::page_header::kCompressedSize, Type::kI32, total);
  if (header.Find(field::page_header::kCrc) != nullptr) {
    uint32_t crc = arrow::internal::crc32(0, head.data(), head.size());
    crc = arrow::internal::crc32(crc, rest.data(), rest.size());
    header.SetInt(field::page_header::kCrc, Type::kI32, static_cast<int32_t>(crc));
  }
  std::string bytes;
  thrift::AppendStruct(header, &bytes);
  auto* sink = assembler_->sink().get();
  ARROW_RETURN_NOT_OK(sink->Write(bytes.data(), std::ssize(bytes)));
  for (const std::span<const uint8_t> part : {head, rest}) {
    if (!part.empty()) ARROW_RETURN_NOT_OK(sink->Write(part.data(), std::ssize(part)));
  }
  uncompressed_ += std::ssize(bytes) + uncompressed;
  return arrow::Status::OK();
}

arrow::Status PatchedChunk::CopyDictionary() {
  const PageEntry& entry = *pages_->dictionary;
  dictionary_offset_ = assembler_->sink()->position();
  CountPage(field::page_header::kTypeDictionary, entry.encoding);
  uncompressed_ += int64_t{entry.header_bytes} + entry.uncompressed_bytes;
  return assembler_->sink()->CopyFrom(chunk_->file->fd(), entry.offset, entry.total_bytes());
}

arrow::Status PatchedChunk::GrowDictionary(const LoadedPage& page, ByteBuffer* added,
                                           int64_t num_values) {
  dictionary_offset_ = assembler_->sink()->position();
  CountPage(field::page_header::kTypeDictionary, pages_->dictionary->encoding);
  Value header = page.header;
  header.Find(field::page_header::kDictionaryPage)
      ->SetInt(field::kPageNumValues, Type::kI32, num_values);
  const std::span<const uint8_t> old = page.values;
  const int64_t bytes = std::ssize(old) + added->size();
  if (chunk_->compression == arrow::Compression::SNAPPY && page.values.size() == page.body.size()) {
    // Snappy's stream is a length and elements that look back: those of the new values can follow
    // those of the old ones, which need not be compressed again.
    compressed_->Clear();
    ARROW_RETURN_NOT_OK(
        compressed_->Reserve(kMaxVarint + std::ssize(page.compressed) +
                             loader_->codec()->MaxCompressedLen(added->size(), added->data())));
    ARROW_RETURN_NOT_OK(compressed_->Resize(kMaxVarint));
    const int64_t head = PutVarint(static_cast<uint64_t>(bytes), compressed_->data());
    ARROW_RETURN_NOT_OK(compressed_->Resize(head));
    const size_t skip = VarintBytes(page.compressed);
    ARROW_RETURN_NOT_OK(compressed_->Append(
        page.compressed.data() + skip, std::ssize(page.compressed) - static_cast<int64_t>(skip)));
    const int64_t middle = compressed_->size();
    ARROW_RETURN_NOT_OK(AppendCompressed(added->span()));
    auto all = compressed_->span();
    const size_t again = VarintBytes(all.subspan(static_cast<size_t>(middle)));
    std::memmove(all.data() + middle, all.data() + middle + again,
                 all.size() - static_cast<size_t>(middle) - again);
    return EmitStored(std::move(header), {}, all.first(all.size() - again), bytes);
  }
  if (!old.empty()) ARROW_RETURN_NOT_OK(added->Prepend(old.data(), std::ssize(old)));
  return Emit(std::move(header), added->span(), 0);
}

arrow::Status PatchedChunk::CopyPages(size_t first, size_t last) {
  int64_t position = assembler_->sink()->position();
  for (size_t p = first; p < last;) {
    // Neighbours are copied at one go.
    const int64_t from = pages_->data[p].offset;
    int64_t end = from;
    for (; p < last && pages_->data[p].offset == end; ++p) {
      const PageEntry& entry = pages_->data[p];
      const PagePlace place{p, position + (end - from), entry.total_bytes(), entry.num_values};
      ARROW_RETURN_NOT_OK(indexes_->AddCopied(place));
      if (first_page_ < 0) first_page_ = place.offset;
      CountPage(entry.v2 ? field::page_header::kTypeDataV2 : field::page_header::kTypeData,
                entry.encoding);
      rows_ += entry.num_values;
      uncompressed_ += int64_t{entry.header_bytes} + entry.uncompressed_bytes;
      end += entry.total_bytes();
    }
    ARROW_RETURN_NOT_OK(assembler_->sink()->CopyFrom(chunk_->file->fd(), from, end - from));
    position = assembler_->sink()->position();
  }
  return arrow::Status::OK();
}

arrow::Status PatchedChunk::WritePage(size_t base_page, Value header, std::span<const uint8_t> body,
                                      int64_t definition_bytes, int64_t encoding,
                                      const PageChange& change) {
  const PageEntry& entry = pages_->data[base_page];
  Value* data =
      header.Find(entry.v2 ? field::page_header::kDataPageV2 : field::page_header::kDataPage);
  data->SetInt(field::kPageNumValues, Type::kI32, change.rows);
  data->SetInt(entry.v2 ? field::kDataPageV2Encoding : field::kDataPageEncoding, Type::kI32,
               encoding);
  const int16_t statistics_id =
      entry.v2 ? field::data_page_v2::kStatistics : field::data_page::kStatistics;
  if (const Value* before = data->Find(statistics_id)) {
    Value statistics;
    statistics.type = Type::kStruct;
    if (before->Find(field::statistics::kNullCount) != nullptr) {
      statistics.SetInt(field::statistics::kNullCount, Type::kI64, change.nulls);
    }
    // The flags of this page's own bounds are gone with a column index as their origin.
    change.bounds.WriteTo(&statistics);
    data->Set(statistics_id, std::move(statistics));
  }
  int64_t stored = 0;
  if (entry.v2) {
    stored = definition_bytes;
    const bool compress = entry.is_compressed && definition_bytes < std::ssize(body);
    if (!compress) stored = std::ssize(body);
    data->SetInt(field::data_page_v2::kNumNulls, Type::kI32, change.nulls);
    data->SetInt(field::data_page_v2::kNumRows, Type::kI32, change.rows);
    data->SetInt(field::data_page_v2::kDefinitionBytes, Type::kI32, definition_bytes);
    if (!compress || data->Find(field::data_page_v2::kIsCompressed) != nullptr) {
      data->Set(field::data_page_v2::kIsCompressed,
                thrift::Int(compress ? Type::kTrue : Type::kFalse, compress ? 1 : 0));
    }
  }
  PagePlace place{base_page, assembler_->sink()->position(), 0, change.rows};
  ARROW_RETURN_NOT_OK(Emit(std::move(header), body, stored));
  place.bytes = assembler_->sink()->position() - place.offset;
  ARROW_RETURN_NOT_OK(indexes_->AddChanged(place, change));
  if (first_page_ < 0) first_page_ = place.offset;
  CountPage(entry.v2 ? field::page_header::kTypeDataV2 : field::page_header::kTypeData, encoding);
  rows_ += change.rows;
  NoteChange(change);
  return arrow::Status::OK();
}

void PatchedChunk::CountPage(int64_t page_type, int64_t encoding) {
  for (EncodingCount& count : encodings_) {
    if (count.page_type == page_type && count.encoding == encoding) {
      ++count.pages;
      return;
    }
  }
  encodings_.push_back({page_type, encoding, 1});
}

void PatchedChunk::NoteChange(const PageChange& change) {
  rows_delta_ += change.rows - change.rows_before;
  nulls_delta_ += change.nulls - change.nulls_before;
  value_bytes_delta_ += change.value_bytes_delta;
}

}  // namespace floodwall
