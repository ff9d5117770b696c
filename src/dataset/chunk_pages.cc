#include "dataset/chunk_pages.h"

#include <algorithm>
#include <cstring>

#include "arrow/util/crc32.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"
#include "parquet/exception.h"

namespace floodwall {
namespace {

namespace field = parquet_field;

constexpr int64_t kHeaderWindow = 256;
constexpr int64_t kMaxHeader = 16 << 20;

arrow::Status CorruptPage(const std::string& path, const char* why) {
  return MakeError(ErrorKind::kUnsupportedFile,
                   std::string("a page cannot be read (") + why + "): '" + path + "'");
}

bool FitsInt32(int64_t value) { return value >= 0 && value <= INT32_MAX; }

/// Fills in what the header says; false for a page that only the slow path understands.
arrow::Result<bool> Describe(const thrift::Value& header, const std::string& path,
                             PageEntry* entry) {
  const int64_t type = header.GetInt(field::page_header::kType, -1);
  const int16_t id = type == field::page_header::kTypeDictionary
                         ? field::page_header::kDictionaryPage
                     : type == field::page_header::kTypeDataV2 ? field::page_header::kDataPageV2
                                                               : field::page_header::kDataPage;
  if (type != field::page_header::kTypeDictionary && type != field::page_header::kTypeDataV2 &&
      type != field::page_header::kTypeData) {
    return false;
  }
  const thrift::Value* data = header.Find(id);
  if (data == nullptr || data->type != thrift::Type::kStruct) return CorruptPage(path, "header");
  const int64_t values = data->GetInt(field::kPageNumValues, -1);
  if (!FitsInt32(values)) return CorruptPage(path, "number of values");
  entry->num_values = static_cast<int32_t>(values);
  entry->v2 = type == field::page_header::kTypeDataV2;
  const int64_t encoding =
      data->GetInt(entry->v2 ? field::kDataPageV2Encoding : field::kDataPageEncoding, -1);
  entry->encoding = static_cast<int8_t>(encoding >= 0 && encoding < 100 ? encoding : -1);
  if (type == field::page_header::kTypeDictionary) return true;
  if (!entry->v2) {
    return data->GetInt(field::data_page::kDefinitionEncoding, -1) == field::kEncodingRle;
  }
  const int64_t definition = data->GetInt(field::data_page_v2::kDefinitionBytes, -1);
  if (definition < 0 || definition > std::min(entry->compressed_bytes, entry->uncompressed_bytes) ||
      data->GetInt(field::data_page_v2::kNumRows, -1) != values) {
    return CorruptPage(path, "level sizes");
  }
  entry->definition_bytes = static_cast<int32_t>(definition);
  const thrift::Value* compressed = data->Find(field::data_page_v2::kIsCompressed);
  entry->is_compressed = compressed == nullptr || compressed->type != thrift::Type::kFalse;
  return data->GetInt(field::data_page_v2::kRepetitionBytes, -1) == 0;
}

/// The header at `position` and the sizes in it; the page ends at `end` at the latest.
arrow::Result<PageEntry> ReadSizes(const ParquetSource& file, int64_t position, int64_t end,
                                   thrift::Value* header) {
  PageEntry entry;
  entry.offset = position;
  size_t header_bytes = 0;
  for (int64_t window = kHeaderWindow;; window *= 16) {
    const int64_t length = std::min(window, end - position);
    ARROW_ASSIGN_OR_RAISE(const std::string bytes, file.ReadRange(position, length));
    auto parsed = thrift::ParseStruct(bytes, &header_bytes);
    if (parsed.ok()) {
      *header = std::move(*parsed);
      break;
    }
    if (length == end - position || window >= kMaxHeader) {
      return CorruptPage(file.path(), "header");
    }
  }
  const int64_t compressed = header->GetInt(field::page_header::kCompressedSize, -1);
  const int64_t uncompressed = header->GetInt(field::page_header::kUncompressedSize, -1);
  if (!FitsInt32(compressed) || !FitsInt32(uncompressed) ||
      compressed > end - position - static_cast<int64_t>(header_bytes)) {
    return CorruptPage(file.path(), "sizes");
  }
  entry.header_bytes = static_cast<int32_t>(header_bytes);
  entry.compressed_bytes = static_cast<int32_t>(compressed);
  entry.uncompressed_bytes = static_cast<int32_t>(uncompressed);
  return entry;
}

}  // namespace

arrow::Result<std::optional<PageEntry>> ReadPageEntry(const ParquetSource& file, int64_t position,
                                                      int64_t end, bool dictionary) {
  thrift::Value header;
  ARROW_ASSIGN_OR_RAISE(PageEntry entry, ReadSizes(file, position, end, &header));
  ARROW_ASSIGN_OR_RAISE(const bool known, Describe(header, file.path(), &entry));
  const bool is_dictionary =
      header.GetInt(field::page_header::kType, -1) == field::page_header::kTypeDictionary;
  if (!known || is_dictionary != dictionary) return std::nullopt;
  return entry;
}

bool PageEntry::dictionary_encoded() const {
  return encoding == field::kEncodingPlainDictionary || encoding == field::kEncodingRleDictionary;
}

arrow::Result<BaseChunk> BaseChunk::Of(std::shared_ptr<ParquetSource> file, int row_group,
                                       int column) {
  BaseChunk out;
  out.row_group = row_group;
  out.column = column;
  out.descr = file->schema().Column(column);
  out.range = file->chunk_range(row_group, column);
  out.num_rows = file->row_group_rows(row_group);
  ARROW_ASSIGN_OR_RAISE(const auto metadata, file->RowGroupMetadata(row_group));
  const auto chunk = metadata->RowGroup(0)->ColumnChunk(column);
  out.compression = chunk->compression();
  try {
    out.trusted_statistics = chunk->is_stats_set();
  } catch (const parquet::ParquetException&) {
    out.trusted_statistics = false;
  }
  ARROW_ASSIGN_OR_RAISE(out.tree, file->ReadChunk(row_group, column));
  out.file = std::move(file);
  return out;
}

void ChunkPages::Add(const PageEntry& page) {
  ++num_pages;
  num_values += page.num_values;
  max_compressed_bytes = std::max<int64_t>(max_compressed_bytes, page.compressed_bytes);
  max_uncompressed_bytes = std::max<int64_t>(max_uncompressed_bytes, page.uncompressed_bytes);
  max_values = std::max<int64_t>(max_values, page.num_values);
  if (!page.dictionary_encoded()) {
    max_direct_bytes = std::max<int64_t>(max_direct_bytes, page.uncompressed_bytes);
  }
  const bool known = page.encoding >= 0 && page.encoding < 63;
  encodings.set(known ? static_cast<size_t>(page.encoding) : 63);
}

bool ChunkPages::uses_dictionary() const {
  return Uses(field::kEncodingPlainDictionary) || Uses(field::kEncodingRleDictionary);
}

arrow::Result<ChunkPages> SumUpPages(const BaseChunk& chunk,
                                     const std::function<arrow::Status(const PageEntry&)>& visit) {
  ChunkPages out;
  const ParquetSource& file = *chunk.file;
  const int64_t end = chunk.range.offset + chunk.range.length;
  const bool flat = chunk.descr->max_repetition_level() == 0;
  for (int64_t position = chunk.range.offset; position < end;) {
    thrift::Value header;
    ARROW_ASSIGN_OR_RAISE(PageEntry entry, ReadSizes(file, position, end, &header));
    position += entry.total_bytes();
    if (!flat) {
      // Only whether it can be patched is asked, and it cannot.
      out.plain_layout = false;
      return out;
    }
    ARROW_ASSIGN_OR_RAISE(const bool known, Describe(header, file.path(), &entry));
    if (!known) {
      out.plain_layout = false;
      continue;
    }
    if (header.GetInt(field::page_header::kType, -1) == field::page_header::kTypeDictionary) {
      // A second one, or one behind data pages, is against the format.
      if (out.dictionary || out.num_pages > 0) out.plain_layout = false;
      out.dictionary = entry;
      continue;
    }
    out.Add(entry);
    if (visit) ARROW_RETURN_NOT_OK(visit(entry));
  }
  return out;
}

arrow::Result<ListedPages> ListPages(const BaseChunk& chunk, GuardedPool* pool) {
  ListedPages out(pool);
  ARROW_ASSIGN_OR_RAISE(static_cast<ChunkPages&>(out),
                        SumUpPages(chunk, [&](const PageEntry& entry) {
                          return out.entries.Append(&entry, sizeof(entry));
                        }));
  out.data = {reinterpret_cast<const PageEntry*>(out.entries.data()),
              static_cast<size_t>(out.num_pages)};
  return out;
}

arrow::Status PageLoader::Corrupt(const char* why) const { return CorruptPage(file_->path(), why); }

arrow::Status PageLoader::Open(const BaseChunk& chunk) {
  if (compression_ != chunk.compression) {
    codec_.reset();
    if (chunk.compression != arrow::Compression::UNCOMPRESSED) {
      ARROW_ASSIGN_OR_RAISE(codec_, arrow::util::Codec::Create(chunk.compression));
    }
    compression_ = chunk.compression;
  }
  optional_ = chunk.descr->max_definition_level() > 0;
  if (chunk.file != file_) input_ = chunk.file->OpenInput(pool_);
  file_ = chunk.file;
  return arrow::Status::OK();
}

void PageLoader::Trim(int64_t keep_bytes) {
  if (raw_.capacity() > keep_bytes) raw_.Reset();
  if (body_.capacity() > keep_bytes) body_.Reset();
}

arrow::Result<LoadedPage> PageLoader::Load(const PageEntry& entry) {
  raw_.Clear();
  ARROW_RETURN_NOT_OK(raw_.Resize(entry.total_bytes()));
  ARROW_ASSIGN_OR_RAISE(const int64_t read,
                        input_->ReadAt(entry.offset, entry.total_bytes(), raw_.data()));
  if (read != entry.total_bytes()) return Corrupt("it ends early");
  LoadedPage page;
  size_t header_bytes = 0;
  auto parsed = thrift::ParseStruct(
      {reinterpret_cast<const char*>(raw_.data()), static_cast<size_t>(entry.header_bytes)},
      &header_bytes);
  if (!parsed.ok() || header_bytes != static_cast<size_t>(entry.header_bytes)) {
    return Corrupt("header");
  }
  page.header = std::move(*parsed);
  PageEntry again = entry;
  ARROW_ASSIGN_OR_RAISE(const bool known, Describe(page.header, file_->path(), &again));
  if (!known || again.num_values != entry.num_values || again.v2 != entry.v2 ||
      again.encoding != entry.encoding || again.definition_bytes != entry.definition_bytes) {
    return Corrupt("it changed while it was read");
  }
  uint8_t* compressed = raw_.data() + entry.header_bytes;
  page.compressed = {compressed, static_cast<size_t>(entry.compressed_bytes)};
  if (const thrift::Value* crc = page.header.Find(field::page_header::kCrc)) {
    const uint32_t found =
        arrow::internal::crc32(0, compressed, static_cast<size_t>(entry.compressed_bytes));
    if (found != static_cast<uint32_t>(crc->integer)) return Corrupt("checksum");
  }
  if (codec_ == nullptr || !entry.is_compressed) {
    if (entry.compressed_bytes != entry.uncompressed_bytes) return Corrupt("sizes");
    page.body = {compressed, static_cast<size_t>(entry.compressed_bytes)};
  } else {
    body_.Clear();
    ARROW_RETURN_NOT_OK(body_.Resize(entry.uncompressed_bytes));
    const int64_t levels = entry.definition_bytes;
    if (levels > 0) std::memcpy(body_.data(), compressed, static_cast<size_t>(levels));
    const int64_t expected = entry.uncompressed_bytes - levels;
    if (expected > 0) {
      auto length = codec_->Decompress(entry.compressed_bytes - levels, compressed + levels,
                                       expected, body_.data() + levels);
      if (!length.ok()) {
        return length.status().IsOutOfMemory() ? length.status() : Corrupt("compression");
      }
      if (*length != expected) return Corrupt("uncompressed size");
    }
    page.body = body_.span();
  }
  const bool data_page =
      page.header.GetInt(field::page_header::kType, -1) != field::page_header::kTypeDictionary;
  if (entry.v2) {
    page.levels = page.body.first(static_cast<size_t>(entry.definition_bytes));
    page.values = page.body.subspan(static_cast<size_t>(entry.definition_bytes));
  } else if (optional_ && data_page) {
    uint32_t length = 0;
    if (page.body.size() < sizeof(length)) return Corrupt("levels");
    std::memcpy(&length, page.body.data(), sizeof(length));
    if (length > page.body.size() - sizeof(length)) return Corrupt("levels");
    page.levels = page.body.subspan(sizeof(length), length);
    page.values = page.body.subspan(sizeof(length) + length);
  } else {
    page.values = page.body;
  }
  return page;
}

}  // namespace floodwall
