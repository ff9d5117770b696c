#include "merge/column_recoder.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "arrow/io/memory.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/physical_values.h"
#include "parquet/bloom_filter.h"
#include "parquet/column_writer.h"
#include "parquet/exception.h"
#include "parquet/file_reader.h"
#include "parquet/page_index.h"
#include "parquet/properties.h"

namespace floodwall {
namespace {

constexpr int64_t kBatchLevels = 4096;
constexpr int64_t kStreamBuffer = 64 * kKiB;
constexpr int64_t kPageBytes = kMiB;

template <typename T>
bool SameValue(const T& a, const T& b, int) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}
bool SameValue(const parquet::ByteArray& a, const parquet::ByteArray& b, int) {
  return a.len == b.len && (a.len == 0 || std::memcmp(a.ptr, b.ptr, a.len) == 0);
}
bool SameValue(const parquet::FixedLenByteArray& a, const parquet::FixedLenByteArray& b,
               int length) {
  return std::memcmp(a.ptr, b.ptr, static_cast<size_t>(length)) == 0;
}

template <typename T>
uint64_t BloomHash(const parquet::BloomFilter& filter, const T& value, int) {
  return filter.Hash(value);
}
uint64_t BloomHash(const parquet::BloomFilter& filter, const parquet::ByteArray& value, int) {
  return filter.Hash(&value);
}
uint64_t BloomHash(const parquet::BloomFilter& filter, const parquet::FixedLenByteArray& value,
                   int length) {
  return filter.Hash(&value, static_cast<uint32_t>(length));
}
uint64_t BloomHash(const parquet::BloomFilter& filter, const parquet::Int96& value, int) {
  return filter.Hash(&value);
}

/// The new values of the matches in order, a slice at a time.
template <typename DType>
class TakenValues {
 public:
  using T = typename DType::c_type;
  TakenValues(const std::vector<RowMatch>* matches, const ColumnRecoder::TakeValues& take,
              const parquet::ColumnDescriptor* column, GuardedPool* pool)
      : matches_(matches), take_(take), column_(column), pool_(pool) {}

  /// Makes match `index` readable, and those before end(); indices ascend.
  arrow::Status Seek(size_t index) {
    if (index < end_) return arrow::Status::OK();
    begin_ = index;
    end_ = std::min(matches_->size(), begin_ + static_cast<size_t>(ColumnRecoder::kSliceRows));
    std::vector<int64_t> ordinals;
    at_.resize(end_ - begin_);
    for (size_t i = begin_; i < end_; ++i) {
      at_[i - begin_] = ordinals.size();
      if ((*matches_)[i].ordinal != RowMatch::kRemoved) ordinals.push_back((*matches_)[i].ordinal);
    }
    if (!ordinals.empty()) {
      ARROW_ASSIGN_OR_RAISE(const int64_t count,
                            take_.CountWithin(ordinals, ColumnRecoder::kSliceBytes));
      ordinals.resize(static_cast<size_t>(count));
      // Edits that find no value in the slice begin the next.
      while (at_[end_ - 1 - begin_] > ordinals.size() ||
             (at_[end_ - 1 - begin_] == ordinals.size() &&
              (*matches_)[end_ - 1].ordinal != RowMatch::kRemoved)) {
        --end_;
      }
      at_.resize(end_ - begin_);
    }
    if (ordinals.empty()) return arrow::Status::OK();
    page_ = PlainPage();
    ARROW_ASSIGN_OR_RAISE(auto array, take_(ordinals));
    const auto n = static_cast<int64_t>(ordinals.size());
    ARROW_ASSIGN_OR_RAISE(page_, EncodePlain(std::move(array), n, column_, pool_));
    values_ = std::make_unique<T[]>(ordinals.size());
    defined_.assign(ordinals.size(), 1);
    auto* reader = static_cast<parquet::TypedColumnReader<DType>*>(page_.reader.get());
    int64_t values_read = 0;
    const bool optional = column_->max_definition_level() > 0;
    const int64_t levels = reader->ReadBatch(n, optional ? defined_.data() : nullptr, nullptr,
                                             values_.get(), &values_read);
    if (levels != n) return arrow::Status::UnknownError("new values came back short");
    dense_.resize(ordinals.size());
    size_t next = 0;
    for (size_t i = 0; i < dense_.size(); ++i) dense_[i] = defined_[i] != 0 ? next++ : 0;
    return arrow::Status::OK();
  }
  bool defined(size_t index) const { return defined_[at_[index - begin_]] != 0; }
  const T& value(size_t index) const { return values_[dense_[at_[index - begin_]]]; }
  size_t end() const { return end_; }

 private:
  const std::vector<RowMatch>* matches_;
  const ColumnRecoder::TakeValues& take_;
  const parquet::ColumnDescriptor* column_;
  GuardedPool* pool_;
  size_t begin_ = 0;
  size_t end_ = 0;
  PlainPage page_;
  std::unique_ptr<T[]> values_;
  std::vector<int16_t> defined_;
  std::vector<size_t> at_;     // match -> new value
  std::vector<size_t> dense_;  // new value -> place among those that are not null
};

/// Writes one chunk into the assembler's sink with the base chunk's codec, encoding, page
/// version, page index and bloom filter.
template <typename DType>
class ChunkEncoder {
 public:
  using T = typename DType::c_type;
  static arrow::Result<std::unique_ptr<ChunkEncoder>> Make(const ParquetSource& base, int row_group,
                                                           int column, ParquetAssembler* assembler,
                                                           GuardedPool* pool) {
    auto out = std::make_unique<ChunkEncoder>();
    ARROW_ASSIGN_OR_RAISE(const PageSummary pages, base.ScanPages(row_group, column));
    out->descr_ = base.schema().Column(column);
    ARROW_ASSIGN_OR_RAISE(const auto metadata, base.RowGroupMetadata(row_group));
    const auto chunk = metadata->RowGroup(0)->ColumnChunk(column);
    parquet::WriterProperties::Builder builder;
    builder.memory_pool(pool)->compression(chunk->compression())->data_pagesize(kPageBytes);
    builder.data_page_version(pages.data_page_v2 ? parquet::ParquetDataPageVersion::V2
                                                 : parquet::ParquetDataPageVersion::V1);
    if (pages.has_crc) builder.enable_page_checksum();
    // A column whose dictionary did not hold before will not hold now, and trying costs ten
    // times the memory.
    if (pages.all_dictionary_encoded) {
      builder.dictionary_pagesize_limit(
          std::max<int64_t>(kMiB, pages.dictionary_uncompressed_bytes * 5 / 4));
    } else {
      builder.disable_dictionary();
      const auto encoding = static_cast<parquet::Encoding::type>(pages.fallback_encoding);
      if (pages.fallback_encoding > 0) builder.encoding(encoding);
    }
    out->properties_ = builder.build();
    out->metadata_ = parquet::ColumnChunkMetaDataBuilder::Make(out->properties_, out->descr_);
    if (base.has_page_index(row_group, column)) {
      out->column_index_ = parquet::ColumnIndexBuilder::Make(out->descr_);
      out->offset_index_ = parquet::OffsetIndexBuilder::Make();
    }
    ARROW_ASSIGN_OR_RAISE(auto held, Reservation::Make(pool->budget(), 0));
    ARROW_ASSIGN_OR_RAISE(const std::string bloom, base.ReadBloomFilter(row_group, column, &held));
    if (!bloom.empty()) {
      arrow::io::BufferReader stream(arrow::Buffer::FromString(bloom));
      out->bloom_ = std::make_unique<parquet::BlockSplitBloomFilter>(
          parquet::BlockSplitBloomFilter::Deserialize(parquet::ReaderProperties(pool), &stream));
    }
    out->assembler_ = assembler;
    out->column_ = column;
    out->start_ = assembler->sink()->position();
    auto pager = parquet::PageWriter::Open(assembler->sink(), chunk->compression(),
                                           out->metadata_.get(), -1, static_cast<int16_t>(column),
                                           pool, false, nullptr, nullptr, pages.has_crc,
                                           out->column_index_.get(), out->offset_index_.get());
    out->writer_ =
        parquet::ColumnWriter::Make(out->metadata_.get(), std::move(pager), out->properties_.get());
    return out;
  }

  void Write(int64_t levels, const int16_t* definition, const T* values) {
    auto* writer = static_cast<parquet::TypedColumnWriter<DType>*>(writer_.get());
    // The writer looks at the size of its page after a batch only.
    int64_t first = 0;
    int64_t count = 0;  // values
    int64_t bytes = 0;
    for (int64_t i = 0; i < levels; ++i) {
      if (definition != nullptr && definition[i] == 0) continue;
      bytes += Length(values[count++]);
      if (bytes < kPageBytes) continue;
      writer->WriteBatch(i + 1 - first, definition == nullptr ? nullptr : definition + first,
                         nullptr, values);
      values += count;
      first = i + 1;
      count = bytes = 0;
    }
    if (first < levels) {
      writer->WriteBatch(levels - first, definition == nullptr ? nullptr : definition + first,
                         nullptr, values);
    }
  }
  void NoteNewValue(const T& value) {
    if constexpr (!std::is_same_v<T, bool>) {
      if (bloom_) bloom_->InsertHash(BloomHash(*bloom_, value, descr_->type_length()));
    }
  }

  arrow::Status Close(bool only_rows_removed, GuardedPool* pool) {
    writer_->Close();
    EncodedChunk chunk;
    chunk.only_rows_removed = only_rows_removed;
    const auto take = [&](auto&& write, std::string* out) -> arrow::Status {
      ARROW_ASSIGN_OR_RAISE(auto sink, arrow::io::BufferOutputStream::Create(1024, pool));
      write(sink.get());
      ARROW_ASSIGN_OR_RAISE(auto buffer, sink->Finish());
      *out = buffer->ToString();
      return arrow::Status::OK();
    };
    ARROW_RETURN_NOT_OK(take([&](auto* s) { metadata_->WriteTo(s); }, &chunk.column_chunk));
    if (column_index_) {
      ARROW_RETURN_NOT_OK(take([&](auto* s) { column_index_->WriteTo(s); }, &chunk.column_index));
      ARROW_RETURN_NOT_OK(take([&](auto* s) { offset_index_->WriteTo(s); }, &chunk.offset_index));
    }
    if (bloom_) {
      ARROW_RETURN_NOT_OK(take([&](auto* s) { bloom_->WriteTo(s); }, &chunk.bloom_filter));
    }
    // The page writer leaves a copy of the metadata behind the pages; nobody reads it.
    const int64_t end = start_ + metadata_->total_compressed_size();
    if (assembler_->sink()->position() > end) ARROW_RETURN_NOT_OK(assembler_->sink()->Rewind(end));
    return assembler_->AddEncodedChunk(column_, std::move(chunk));
  }

 private:
  int64_t Length(const T& value) const {
    if constexpr (std::is_same_v<T, parquet::ByteArray>) return value.len;
    if constexpr (std::is_same_v<T, parquet::FixedLenByteArray>) return descr_->type_length();
    return static_cast<int64_t>(sizeof(value));
  }

  const parquet::ColumnDescriptor* descr_ = nullptr;
  std::shared_ptr<parquet::WriterProperties> properties_;
  std::unique_ptr<parquet::ColumnChunkMetaDataBuilder> metadata_;
  std::unique_ptr<parquet::ColumnIndexBuilder> column_index_;
  std::unique_ptr<parquet::OffsetIndexBuilder> offset_index_;
  std::unique_ptr<parquet::BlockSplitBloomFilter> bloom_;
  std::shared_ptr<parquet::ColumnWriter> writer_;
  ParquetAssembler* assembler_ = nullptr;
  int column_ = 0;
  int64_t start_ = 0;
};

}  // namespace

int64_t ColumnRecoder::EncodeNeed(const PageSummary& pages, int64_t chunk_compressed_bytes,
                                  int64_t chunk_rows) {
  const int64_t reading = kStreamBuffer + pages.max_compressed_bytes +
                          pages.max_uncompressed_bytes + 3 * pages.dictionary_uncompressed_bytes;
  // A page being filled (its buffer grows by doubling), the same page compressed, levels.
  int64_t writing = 4 * std::max(kPageBytes, pages.max_uncompressed_bytes);
  if (pages.all_dictionary_encoded) {
    // Until the chunk ends the encoder holds its pages (compressed), the indices of a page,
    // the values and their hash table.
    writing += chunk_compressed_bytes + chunk_compressed_bytes / 4 + 8 * chunk_rows +
               6 * std::max<int64_t>(pages.dictionary_uncompressed_bytes, 64 * kKiB);
  }
  return reading + writing + kMiB;
}

template <typename DType>
arrow::Result<bool> ColumnRecoder::Run(ParquetAssembler* assembler, std::vector<uint8_t>* changed) {
  using T = typename DType::c_type;
  GuardedPool* pool = context_->encode_pool;
  const parquet::ColumnDescriptor* descr = file_->schema().Column(column_);
  const int type_length = descr->type_length();
  const bool optional = descr->max_definition_level() > 0;
  parquet::ReaderProperties properties(pool);
  properties.enable_buffered_stream();
  properties.set_buffer_size(kStreamBuffer);
  ARROW_ASSIGN_OR_RAISE(auto metadata, file_->RowGroupMetadata(row_group_));
  auto file =
      parquet::ParquetFileReader::Open(file_->OpenInput(pool), properties, std::move(metadata));
  auto generic = file->RowGroup(0)->Column(column_);
  auto* reader = static_cast<parquet::TypedColumnReader<DType>*>(generic.get());
  TakenValues<DType> fresh(matches_, take_, descr, pool);
  std::unique_ptr<ChunkEncoder<DType>> encoder;
  if (assembler != nullptr) {
    ARROW_ASSIGN_OR_RAISE(encoder,
                          ChunkEncoder<DType>::Make(*file_, row_group_, column_, assembler, pool));
  }

  auto values = std::make_unique<T[]>(kBatchLevels);
  auto merged = std::make_unique<T[]>(kBatchLevels);
  std::vector<int16_t> levels(kBatchLevels, 1);
  size_t next = 0;  // match
  int64_t row = 0;
  bool differs = false;
  while (reader->HasNext()) {
    ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
    int64_t values_read = 0;
    // Byte arrays point into the slice: a batch has the matches of one at most.
    int64_t most = kBatchLevels;
    if (next < matches_->size() && (*matches_)[next].row < row + most) {
      ARROW_RETURN_NOT_OK(fresh.Seek(next));
      if (fresh.end() < matches_->size()) {
        most = std::min(most, (*matches_)[fresh.end()].row - row);
      }
    }
    const int64_t n = reader->ReadBatch(most, optional ? levels.data() : nullptr, nullptr,
                                        values.get(), &values_read);
    if (n == 0) break;
    const T* out = values.get();
    int64_t kept = n;
    if (next < matches_->size() && (*matches_)[next].row < row + n) {
      // Stretches between matches are moved as they are; `from` and `to` run over values, which
      // are fewer than levels where there are nulls.
      // Removed rows leave gaps: `kept` runs over the levels that stay.
      int64_t level = 0;
      int64_t from = 0;
      int64_t to = 0;
      kept = 0;
      const auto move_until = [&](int64_t end) {
        int64_t count = end - level;
        if (optional) {
          count = std::count_if(levels.begin() + level, levels.begin() + end,
                                [](int16_t l) { return l != 0; });
          if (kept < level) {
            std::copy(levels.begin() + level, levels.begin() + end, levels.begin() + kept);
          }
        }
        kept += end - level;
        std::copy_n(values.get() + from, count, merged.get() + to);
        from += count;
        to += count;
        level = end;
      };
      for (; next < matches_->size() && (*matches_)[next].row < row + n; ++next) {
        move_until((*matches_)[next].row - row);
        const bool was = !optional || levels[static_cast<size_t>(level)] != 0;
        if ((*matches_)[next].ordinal == RowMatch::kRemoved) {
          if (!encoder) return true;
          if (was) ++from;
          ++level;
          continue;
        }
        const bool is = fresh.defined(next);
        const bool same = was == is && (!is || SameValue(values[static_cast<size_t>(from)],
                                                         fresh.value(next), type_length));
        if (was) ++from;
        if (is) merged[static_cast<size_t>(to++)] = fresh.value(next);
        if (optional) levels[static_cast<size_t>(kept)] = is ? 1 : 0;
        ++level;
        ++kept;
        if (same) continue;
        differs = true;
        if (!encoder) return true;
        (*changed)[next] = 1;
        if (is) encoder->NoteNewValue(fresh.value(next));
      }
      move_until(n);
      out = merged.get();
    } else if (!encoder && next >= matches_->size()) {
      break;
    }
    if (encoder && kept > 0) encoder->Write(kept, optional ? levels.data() : nullptr, out);
    row += n;
  }
  if (next < matches_->size()) {
    return MakeError(ErrorKind::kUnsupportedFile,
                     "a column has fewer rows than its row group: '" + file_->path() + "'");
  }
  // Taking rows away leaves the others in order.
  if (encoder) ARROW_RETURN_NOT_OK(encoder->Close(/*only_rows_removed=*/!differs, pool));
  return differs;
}

arrow::Result<bool> ColumnRecoder::Dispatch(ParquetAssembler* assembler,
                                            std::vector<uint8_t>* changed) {
  try {
    switch (file_->schema().Column(column_)->physical_type()) {
      case parquet::Type::BOOLEAN: return Run<parquet::BooleanType>(assembler, changed);
      case parquet::Type::INT32: return Run<parquet::Int32Type>(assembler, changed);
      case parquet::Type::INT64: return Run<parquet::Int64Type>(assembler, changed);
      case parquet::Type::INT96: return Run<parquet::Int96Type>(assembler, changed);
      case parquet::Type::FLOAT: return Run<parquet::FloatType>(assembler, changed);
      case parquet::Type::DOUBLE: return Run<parquet::DoubleType>(assembler, changed);
      case parquet::Type::BYTE_ARRAY: return Run<parquet::ByteArrayType>(assembler, changed);
      case parquet::Type::FIXED_LEN_BYTE_ARRAY: return Run<parquet::FLBAType>(assembler, changed);
      default: return arrow::Status::NotImplemented("unknown physical type");
    }
  } catch (const parquet::ParquetStatusException& e) {
    return e.status();
  } catch (const parquet::ParquetException& e) {
    return MakeError(ErrorKind::kUnsupportedFile,
                     "cannot recode a column of '" + file_->path() + "': " + e.what());
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to recode a column of '", file_->path(), "'");
  }
}

arrow::Result<bool> ColumnRecoder::Differs() { return Dispatch(nullptr, nullptr); }

arrow::Status ColumnRecoder::Recode(ParquetAssembler* assembler, std::vector<uint8_t>* changed) {
  return Dispatch(assembler, changed).status();
}

}  // namespace floodwall
