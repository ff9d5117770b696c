#include "dataset/parquet_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>

#include "arrow/buffer.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"
#include "parquet/exception.h"
#include "parquet/properties.h"

namespace floodwall {
namespace {

namespace field = parquet_field;

constexpr int64_t kTailBytes = 8;  // footer length and magic
constexpr int64_t kHeaderWindow = 512;
constexpr int64_t kMaxHeader = 16 << 20;
/// Bitsets beyond this are no filter anyone writes (the format's reference limit is 128 MiB).
constexpr int64_t kMaxBloomFilter = 128 << 20;

/// pread(2) behind Arrow's interface, sharing the source's descriptor.
class PreadFile final : public arrow::io::RandomAccessFile {
 public:
  PreadFile(std::shared_ptr<const ParquetSource> source, arrow::MemoryPool* pool)
      : source_(std::move(source)), pool_(pool) {
    set_mode(arrow::io::FileMode::READ);
  }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Status Seek(int64_t position) override {
    position_ = position;
    return arrow::Status::OK();
  }
  arrow::Result<int64_t> GetSize() override { return source_->size_bytes(); }
  arrow::Result<int64_t> Read(int64_t length, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const int64_t n, ReadAt(position_, length, out));
    position_ += n;
    return n;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t length) override {
    ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(position_, length));
    position_ += buffer->size();
    return buffer;
  }
  arrow::Result<int64_t> ReadAt(int64_t position, int64_t length, void* out) override {
    int64_t done = 0;
    while (done < length) {
      const ssize_t n = ::pread(source_->fd(), static_cast<char*>(out) + done,
                                static_cast<size_t>(length - done), position + done);
      if (n < 0) {
        if (errno == EINTR) continue;
        return arrow::Status::IOError("cannot read '", source_->path(),
                                      "': ", std::strerror(errno));
      }
      if (n == 0) break;
      done += n;
    }
    return done;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t length) override {
    length = std::clamp<int64_t>(length, 0, std::max<int64_t>(0, source_->size_bytes() - position));
    ARROW_ASSIGN_OR_RAISE(auto buffer, arrow::AllocateResizableBuffer(length, pool_));
    ARROW_ASSIGN_OR_RAISE(const int64_t n, ReadAt(position, length, buffer->mutable_data()));
    ARROW_RETURN_NOT_OK(buffer->Resize(n));
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }

 private:
  const std::shared_ptr<const ParquetSource> source_;
  arrow::MemoryPool* const pool_;
  int64_t position_ = 0;
  bool closed_ = false;
};

const thrift::Value& MetaDataOf(const thrift::Value& chunk) {
  return *chunk.Find(field::column_chunk::kMetaData);
}

}  // namespace

arrow::Result<std::shared_ptr<ParquetSource>> ParquetSource::Open(const std::string& path,
                                                                  std::shared_ptr<Budget> budget) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return MakeOsError(ErrorKind::kCommit, errno, "cannot open the file", path);
  auto source = std::shared_ptr<ParquetSource>(new ParquetSource(path, fd));
  try {
    ARROW_RETURN_NOT_OK(source->Load(std::move(budget)));
  } catch (const std::exception& e) {
    return source->Corrupt(e.what());
  }
  return source;
}

ParquetSource::~ParquetSource() { ::close(fd_); }

arrow::Status ParquetSource::Corrupt(const std::string& why) const {
  return MakeError(ErrorKind::kUnsupportedFile,
                   "not a readable Parquet file (" + why + "): '" + path_ + "'");
}

arrow::Status ParquetSource::Load(std::shared_ptr<Budget> budget) {
  struct stat info{};
  if (::fstat(fd_, &info) != 0) return MakeOsError(ErrorKind::kCommit, errno, "cannot stat", path_);
  size_ = info.st_size;
  if (size_ < 4 + kTailBytes) return Corrupt("too short");
  ARROW_ASSIGN_OR_RAISE(const std::string head, ReadRange(0, 4));
  ARROW_ASSIGN_OR_RAISE(const std::string tail, ReadRange(size_ - kTailBytes, kTailBytes));
  if (tail.substr(4) == "PARE" || head == "PARE") return Corrupt("it is encrypted");
  if (tail.substr(4) != "PAR1" || head != "PAR1") return Corrupt("no magic number");
  uint32_t length = 0;
  std::memcpy(&length, tail.data(), sizeof(length));
  footer_start_ = size_ - kTailBytes - static_cast<int64_t>(length);
  if (footer_start_ < 4) return Corrupt("footer length is wrong");
  ARROW_ASSIGN_OR_RAISE(
      charge_,
      Reservation::Make(std::move(budget), kFooterExpansion * static_cast<int64_t>(length)));
  ARROW_ASSIGN_OR_RAISE(const std::string bytes, ReadRange(footer_start_, length));
  size_t consumed = 0;
  auto parsed = thrift::ParseStruct(bytes, &consumed);
  if (!parsed.ok()) return Corrupt(parsed.status().message());
  footer_ = std::move(*parsed);
  const int64_t metadata_length = length;
  metadata_ = parquet::FileMetaData::Make(bytes.data(), metadata_length,
                                          parquet::default_reader_properties());
  return Validate();
}

arrow::Status ParquetSource::Validate() const {
  const thrift::Value* groups = footer_.Find(field::file_metadata::kRowGroups);
  const int columns = metadata_->num_columns();
  if (groups == nullptr || groups->type != thrift::Type::kList ||
      static_cast<int>(groups->elements.size()) != metadata_->num_row_groups()) {
    return Corrupt("row groups are missing");
  }
  int64_t rows = 0;
  for (const thrift::Value& group : groups->elements) {
    const thrift::Value* chunks = group.Find(field::row_group::kColumns);
    const int64_t group_rows = group.GetInt(field::row_group::kNumRows, -1);
    if (chunks == nullptr || static_cast<int>(chunks->elements.size()) != columns ||
        group_rows < 0 || group_rows > metadata_->num_rows()) {
      return Corrupt("a row group does not fit the schema");
    }
    rows += group_rows;
    for (const thrift::Value& chunk : chunks->elements) {
      if (chunk.Find(field::column_chunk::kCryptoMetadata) != nullptr ||
          chunk.Find(field::column_chunk::kEncryptedMetadata) != nullptr) {
        return Corrupt("it has encrypted columns");
      }
      if (chunk.Find(field::column_chunk::kFilePath) != nullptr) {
        return Corrupt("a column chunk lies in another file");
      }
      const thrift::Value* meta = chunk.Find(field::column_chunk::kMetaData);
      if (meta == nullptr || meta->type != thrift::Type::kStruct) {
        return Corrupt("a column chunk has no metadata");
      }
    }
  }
  if (rows != metadata_->num_rows()) return Corrupt("row counts disagree");
  for (int g = 0; g < metadata_->num_row_groups(); ++g) {
    for (int c = 0; c < columns; ++c) {
      const ChunkRange range = chunk_range(g, c);
      // A chunk without bytes (no rows, no dictionary) lies nowhere: Arrow writes offset 0.
      if (range.length == 0) continue;
      if (range.offset < 4 || range.length < 0 || range.offset > footer_start_ ||
          range.length > footer_start_ - range.offset) {
        return Corrupt("a column chunk lies outside the file");
      }
    }
  }
  return arrow::Status::OK();
}

const thrift::Value& ParquetSource::row_group_tree(int row_group) const {
  return footer_.Find(field::file_metadata::kRowGroups)->elements[static_cast<size_t>(row_group)];
}

const thrift::Value& ParquetSource::chunk_tree(int row_group, int column) const {
  return row_group_tree(row_group)
      .Find(field::row_group::kColumns)
      ->elements[static_cast<size_t>(column)];
}

ChunkRange ParquetSource::chunk_range(int row_group, int column) const {
  const thrift::Value& meta = MetaDataOf(chunk_tree(row_group, column));
  const int64_t data = meta.GetInt(field::column_metadata::kDataPageOffset, -1);
  const int64_t dictionary = meta.GetInt(field::column_metadata::kDictionaryPageOffset, 0);
  // Some writers set a dictionary offset of 0, or one behind the data, for "none". Arrow, given
  // no rows, writes an empty dictionary page and a data offset of 0.
  const int64_t start = dictionary > 0 && (dictionary < data || data == 0) ? dictionary : data;
  return {start, meta.GetInt(field::column_metadata::kTotalCompressedSize, -1)};
}

bool ParquetSource::has_page_index(int row_group, int column) const {
  const thrift::Value& chunk = chunk_tree(row_group, column);
  return chunk.Find(field::column_chunk::kOffsetIndexOffset) != nullptr &&
         chunk.Find(field::column_chunk::kColumnIndexOffset) != nullptr;
}

std::shared_ptr<arrow::io::RandomAccessFile> ParquetSource::OpenInput(arrow::MemoryPool* pool) {
  return std::make_shared<PreadFile>(shared_from_this(), pool);
}

arrow::Result<std::string> ParquetSource::ReadRange(int64_t offset, int64_t length) const {
  if (offset < 0 || length < 0 || offset > size_ || length > size_ - offset) {
    return Corrupt("a range lies outside the file");
  }
  std::string out(static_cast<size_t>(length), '\0');
  int64_t done = 0;
  while (done < length) {
    const ssize_t n =
        ::pread(fd_, out.data() + done, static_cast<size_t>(length - done), offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return MakeOsError(ErrorKind::kCommit, n == 0 ? EIO : errno, "cannot read the file", path_);
    }
    done += n;
  }
  return out;
}

arrow::Result<PageSummary> ParquetSource::ScanPages(int row_group, int column) const {
  PageSummary out;
  const ChunkRange range = chunk_range(row_group, column);
  const int64_t end = range.offset + range.length;
  int64_t position = range.offset;
  bool plain_seen = false;
  while (position < end) {
    thrift::Value header;
    size_t header_size = 0;
    for (int64_t window = kHeaderWindow;; window *= 16) {
      const int64_t length = std::min(window, end - position);
      ARROW_ASSIGN_OR_RAISE(const std::string bytes, ReadRange(position, length));
      auto parsed = thrift::ParseStruct(bytes, &header_size);
      if (parsed.ok()) {
        header = std::move(*parsed);
        break;
      }
      if (length == end - position || window >= kMaxHeader) return Corrupt("page header");
    }
    const int64_t compressed = header.GetInt(field::page_header::kCompressedSize, -1);
    const int64_t uncompressed = header.GetInt(field::page_header::kUncompressedSize, -1);
    position += static_cast<int64_t>(header_size);
    if (compressed < 0 || uncompressed < 0 || compressed > end - position) {
      return Corrupt("page sizes");
    }
    position += compressed;
    out.has_crc |= header.Find(field::page_header::kCrc) != nullptr;
    const int64_t type = header.GetInt(field::page_header::kType, -1);
    if (type == field::page_header::kTypeDictionary) {
      out.has_dictionary = true;
      out.dictionary_compressed_bytes = compressed;
      out.dictionary_uncompressed_bytes = uncompressed;
      continue;
    }
    if (type != field::page_header::kTypeData && type != field::page_header::kTypeDataV2) continue;
    const bool v2 = type == field::page_header::kTypeDataV2;
    const thrift::Value* data =
        header.Find(v2 ? field::page_header::kDataPageV2 : field::page_header::kDataPage);
    if (data == nullptr) return Corrupt("page header");
    const int64_t encoding =
        data->GetInt(v2 ? field::kDataPageV2Encoding : field::kDataPageEncoding, -1);
    if (encoding != field::kEncodingPlainDictionary && encoding != field::kEncodingRleDictionary) {
      plain_seen = true;
      out.fallback_encoding = encoding;
    }
    out.data_page_v2 |= v2;
    ++out.page_count;
    out.max_compressed_bytes = std::max(out.max_compressed_bytes, compressed);
    out.max_uncompressed_bytes = std::max(out.max_uncompressed_bytes, uncompressed);
  }
  out.all_dictionary_encoded = out.has_dictionary && !plain_seen;
  return out;
}

arrow::Result<std::string> ParquetSource::ReadBloomFilter(int row_group, int column) const {
  const thrift::Value& meta = MetaDataOf(chunk_tree(row_group, column));
  const int64_t offset = meta.GetInt(field::column_metadata::kBloomFilterOffset, -1);
  if (offset < 0) return std::string();
  int64_t length = meta.GetInt(field::column_metadata::kBloomFilterLength, -1);
  if (length < 0) {
    // Older writers give no length: the filter's own header does.
    ARROW_ASSIGN_OR_RAISE(const std::string head,
                          ReadRange(offset, std::min<int64_t>(256, size_ - offset)));
    size_t header_size = 0;
    auto header = thrift::ParseStruct(head, &header_size);
    if (!header.ok()) return Corrupt("bloom filter header");
    length = header->GetInt(field::bloom_filter_header::kNumBytes, -1) +
             static_cast<int64_t>(header_size);
  }
  if (length < 0 || length > kMaxBloomFilter) return Corrupt("bloom filter length");
  return ReadRange(offset, length);
}

}  // namespace floodwall
