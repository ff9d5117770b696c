#include "dataset/parquet_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <vector>

#include "dataset/parquet_thrift.h"
#include "dataset/pread_file.h"
#include "floodwall/error.h"
#include "parquet/exception.h"
#include "parquet/properties.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::Cursor;
using thrift::FieldHeader;
using thrift::StructScope;
using thrift::StructWriter;
using thrift::Type;

constexpr int64_t kTailBytes = 8;  // footer length and magic
constexpr int64_t kFooterWindow = 64 << 10;
constexpr size_t kSmallWindow = 2 << 10;
/// Bitsets beyond this are no filter anyone writes (the format's reference limit is 128 MiB).
constexpr int64_t kMaxBloomFilter = 128 << 20;
constexpr int64_t kMaxBloomHeader = 256;

/// The footer as Arrow wants it: the header's fields with `rows` and the given row group (empty
/// for none).
std::string ComposeFooter(const std::string& header, int64_t rows, std::string_view row_group) {
  std::string out;
  out.reserve(header.size() + row_group.size() + 32);
  StructWriter writer(&out);
  Cursor cursor(header);
  StructScope scope;
  FieldHeader f;
  bool done = false;
  const auto insert = [&] {
    writer.Integer(field::file_metadata::kNumRows, Type::kI64, rows);
    writer.Begin(field::file_metadata::kRowGroups, Type::kList);
    thrift::AppendListHeader(Type::kStruct, row_group.empty() ? 0 : 1, &out);
    out.append(row_group);
    done = true;
  };
  while (cursor.Next(&scope, &f)) {
    if (!done && f.id > field::file_metadata::kRowGroups) insert();
    const auto begin = static_cast<size_t>(cursor.position());
    cursor.Skip(f.type, 1);
    writer.Raw(
        f.id, f.type,
        std::string_view(header).substr(begin, static_cast<size_t>(cursor.position()) - begin));
  }
  if (!done) insert();
  writer.Stop();
  return out;
}

std::shared_ptr<parquet::FileMetaData> ParseFooter(const std::string& bytes) {
  return parquet::FileMetaData::Make(bytes.data(), static_cast<int64_t>(bytes.size()),
                                     parquet::default_reader_properties());
}

}  // namespace

/// Arrow's metadata of one row group with its charge.
struct ParquetSource::Parsed {
  Reservation charge;
  std::shared_ptr<parquet::FileMetaData> metadata;
};

arrow::Result<std::shared_ptr<ParquetSource>> ParquetSource::OpenFile(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer. Regular files ignore it.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return MakeOsError(ErrorKind::kCommit, errno, "cannot open the file", path);
  return std::shared_ptr<ParquetSource>(new ParquetSource(path, fd));
}

template <typename Work>
arrow::Status ParquetSource::Named(const Work& work) const {
  try {
    arrow::Status status = work();
    const ErrorDetail* detail = ErrorDetail::From(status);
    if (detail != nullptr && detail->kind == ErrorKind::kUnsupportedFile) {
      return Corrupt(status.message());
    }
    return status;
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to open '", path_, "'");
  } catch (const std::exception& e) {
    return Corrupt(e.what());
  }
}

arrow::Result<std::shared_ptr<ParquetSource>> ParquetSource::Open(const std::string& path,
                                                                  std::shared_ptr<Budget> budget) {
  ARROW_ASSIGN_OR_RAISE(auto source, OpenFile(path));
  source->budget_ = std::move(budget);
  ARROW_RETURN_NOT_OK(source->Named([&] { return source->Load(); }));
  return source;
}

arrow::Result<int64_t> ParquetSource::MeasureFooter(const std::string& path) {
  ARROW_ASSIGN_OR_RAISE(auto source, OpenFile(path));
  ARROW_RETURN_NOT_OK(source->Named([&]() -> arrow::Status {
    int64_t begin = 0;
    int64_t end = 0;
    ARROW_RETURN_NOT_OK(source->FindFooter(&begin, &end));
    std::vector<char> window(kFooterWindow);
    WindowInput input(source->fd_, path, window);
    return ReadFooterIndex(&input, begin, end, source->size_, nullptr, &source->index_);
  }));
  return source->footer_need();
}

ParquetSource::~ParquetSource() { ::close(fd_); }

arrow::Status ParquetSource::Corrupt(const std::string& why) const {
  return MakeError(ErrorKind::kUnsupportedFile,
                   "not a readable Parquet file (" + why + "): '" + path_ + "'");
}

arrow::Status ParquetSource::FindFooter(int64_t* begin, int64_t* end) {
  const auto refuse = [](const char* why) { return MakeError(ErrorKind::kUnsupportedFile, why); };
  struct stat info{};
  if (::fstat(fd_, &info) != 0) return MakeOsError(ErrorKind::kCommit, errno, "cannot stat", path_);
  if (!S_ISREG(info.st_mode)) return refuse("it is no regular file");
  size_ = info.st_size;
  if (size_ < 4 + kTailBytes) return refuse("too short");
  std::array<char, 4> head;
  std::array<char, kTailBytes> tail;
  ARROW_ASSIGN_OR_RAISE(const int64_t at_head, ReadFully(fd_, path_, 0, 4, head.data()));
  ARROW_ASSIGN_OR_RAISE(const int64_t at_tail,
                        ReadFully(fd_, path_, size_ - kTailBytes, kTailBytes, tail.data()));
  if (at_head != 4 || at_tail != kTailBytes) return refuse("too short");
  const std::string_view magic_head(head.data(), 4);
  const std::string_view magic_tail(tail.data() + 4, 4);
  if (magic_tail == "PARE" || magic_head == "PARE") return refuse("it is encrypted");
  if (magic_tail != "PAR1" || magic_head != "PAR1") return refuse("no magic number");
  uint32_t length = 0;
  std::memcpy(&length, tail.data(), sizeof(length));
  *end = size_ - kTailBytes;
  *begin = *end - static_cast<int64_t>(length);
  return *begin < 4 ? refuse("footer length is wrong") : arrow::Status::OK();
}

arrow::Status ParquetSource::Load() {
  int64_t footer_begin = 0;
  int64_t footer_end = 0;
  ARROW_RETURN_NOT_OK(FindFooter(&footer_begin, &footer_end));
  {
    ARROW_ASSIGN_OR_RAISE(charge_, Reservation::Make(budget_, kFooterWindow));
    std::vector<char> window(kFooterWindow);
    WindowInput input(fd_, path_, window);
    ARROW_RETURN_NOT_OK(
        ReadFooterIndex(&input, footer_begin, footer_end, size_, &charge_, &index_));
  }
  const auto header_bytes = static_cast<int64_t>(index_.header.size());
  ARROW_RETURN_NOT_OK(charge_.Resize(
      charge_.bytes() + header_bytes +
      ParsedMetadataBytes(header_bytes, index_.schema_elements, 0, index_.header_elements)));
  header_ = ParseFooter(ComposeFooter(index_.header, index_.num_rows, {}));
  ARROW_RETURN_NOT_OK(CheckColumns());
  // Now it is known what stays.
  return charge_.Resize(
      static_cast<int64_t>(index_.header.capacity() +
                           index_.row_groups.capacity() * sizeof(FooterIndex::RowGroup) +
                           index_.chunks.capacity() * sizeof(FooterIndex::Chunk)) +
      ParsedMetadataBytes(header_bytes, index_.schema_elements, 0, index_.header_elements));
}

arrow::Status ParquetSource::CheckColumns() const {
  const auto refuse = [](const char* why) { return MakeError(ErrorKind::kUnsupportedFile, why); };
  if (index_.row_groups.empty()) return arrow::Status::OK();
  const parquet::SchemaDescriptor& columns = *header_->schema();
  if (columns.num_columns() != index_.num_columns) {
    return refuse("a row group does not fit the schema");
  }
  for (int g = 0; g < num_row_groups(); ++g) {
    for (int c = 0; c < columns.num_columns(); ++c) {
      if (index_.chunk(g, c).physical_type !=
          static_cast<uint8_t>(columns.Column(c)->physical_type())) {
        return refuse("a column chunk has another type than its column");
      }
    }
  }
  // They counted chunks without the header of the dictionary page.
  if (header_->writer_version().VersionLt(
          parquet::ApplicationVersion::PARQUET_816_FIXED_VERSION())) {
    return refuse("written by a version whose chunk sizes are wrong");
  }
  return arrow::Status::OK();
}

arrow::Result<std::shared_ptr<ParquetSource::Parsed>> ParquetSource::Parse(
    int row_group, const std::map<int, std::string>& chunks) const {
  const FooterIndex::RowGroup& group = index_.row_groups[static_cast<size_t>(row_group)];
  int64_t elements = index_.header_elements;
  for (int c = 0; c < num_columns(); ++c) elements += index_.chunk(row_group, c).elements;
  const int64_t group_bytes = row_group_bytes(row_group);
  const auto bytes = static_cast<int64_t>(index_.header.size()) + group_bytes;
  const int64_t parsed =
      ParsedMetadataBytes(bytes, index_.schema_elements, num_columns(), elements);
  auto out = std::make_shared<Parsed>();
  // The encoded bytes are there twice while they are put together.
  ARROW_ASSIGN_OR_RAISE(out->charge, Reservation::Make(budget_, parsed + bytes + group_bytes));
  ARROW_ASSIGN_OR_RAISE(std::string encoded, ReadRowGroupBytes(row_group));
  for (auto chunk = chunks.rbegin(); chunk != chunks.rend(); ++chunk) {
    const uint32_t begin = index_.chunk(row_group, chunk->first).begin;
    encoded.replace(begin - group.begin, index_.chunk_end(row_group, chunk->first) - begin,
                    chunk->second);
  }
  try {
    out->metadata = ParseFooter(ComposeFooter(index_.header, group.num_rows, encoded));
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to read the footer of '", path_, "'");
  } catch (const std::exception& e) {
    return Corrupt(e.what());
  }
  ARROW_RETURN_NOT_OK(out->charge.Resize(parsed));
  return out;
}

arrow::Result<std::shared_ptr<parquet::FileMetaData>> ParquetSource::RowGroupMetadata(
    int row_group) const {
  std::lock_guard lock(mutex_);
  if (last_row_group_ != row_group) {
    last_.reset();
    last_row_group_ = -1;
    ARROW_ASSIGN_OR_RAISE(last_, Parse(row_group, {}));
    last_row_group_ = row_group;
  }
  return std::shared_ptr<parquet::FileMetaData>(last_, last_->metadata.get());
}

arrow::Result<std::shared_ptr<parquet::FileMetaData>> ParquetSource::ReplacedMetadata(
    int row_group, const std::map<int, std::string>& chunks) const {
  {
    std::lock_guard lock(mutex_);
    last_.reset();
    last_row_group_ = -1;
  }
  ARROW_ASSIGN_OR_RAISE(auto parsed, Parse(row_group, chunks));
  auto* metadata = parsed->metadata.get();
  return std::shared_ptr<parquet::FileMetaData>(std::move(parsed), metadata);
}

arrow::Result<thrift::Value> ParquetSource::ReadRowGroupFields(int row_group) const {
  const FooterIndex::RowGroup& group = index_.row_groups[static_cast<size_t>(row_group)];
  std::array<char, kSmallWindow> buffer;
  WindowInput input(fd_, path_, buffer);
  Cursor cursor(&input, index_.footer_begin + group.begin, index_.footer_begin + group.end);
  thrift::Value out;
  out.type = Type::kStruct;
  int64_t max_values = thrift::kMaxValues;
  StructScope scope;
  FieldHeader f;
  while (cursor.Next(&scope, &f)) {
    if (f.id == field::row_group::kColumns) {
      cursor.Seek(index_.footer_begin + group.columns_end);
    } else {
      out.Set(f.id, thrift::ReadValue(&cursor, f.type, &max_values));
    }
  }
  if (!cursor.ok()) return cursor.status().IsIOError() ? cursor.status() : Corrupt("row group");
  return out;
}

arrow::Result<std::string> ParquetSource::ReadRowGroupBytes(int row_group) const {
  const FooterIndex::RowGroup& group = index_.row_groups[static_cast<size_t>(row_group)];
  return ReadRange(index_.footer_begin + group.begin, row_group_bytes(row_group));
}

std::string_view ParquetSource::chunk_bytes(std::string_view row_group_bytes, int row_group,
                                            int column) const {
  const uint32_t begin = index_.chunk(row_group, column).begin;
  return row_group_bytes.substr(begin - index_.row_groups[static_cast<size_t>(row_group)].begin,
                                index_.chunk_end(row_group, column) - begin);
}

arrow::Result<thrift::Value> ParquetSource::ReadChunk(int row_group, int column) const {
  const int64_t begin = index_.chunk(row_group, column).begin;
  ARROW_ASSIGN_OR_RAISE(
      const std::string bytes,
      ReadRange(index_.footer_begin + begin,
                static_cast<int64_t>(index_.chunk_end(row_group, column)) - begin));
  auto tree = thrift::ParseStruct(bytes, nullptr);
  // Validated when it was opened: the file has changed since, or has very many values.
  if (!tree.ok() || tree->Find(field::column_chunk::kMetaData) == nullptr) {
    return Corrupt("column chunk metadata");
  }
  return tree;
}

std::shared_ptr<arrow::io::RandomAccessFile> ParquetSource::OpenInput(arrow::MemoryPool* pool) {
  return std::make_shared<PreadFile>(shared_from_this(), fd_, path_, size_, pool);
}

arrow::Status ParquetSource::CheckRange(int64_t offset, int64_t length) const {
  const bool inside = offset >= 0 && length >= 0 && offset <= size_ && length <= size_ - offset;
  return inside ? arrow::Status::OK() : Corrupt("a range lies outside the file");
}

arrow::Status ParquetSource::ReadWhole(int64_t offset, int64_t length, void* out) const {
  ARROW_ASSIGN_OR_RAISE(const int64_t n, ReadFully(fd_, path_, offset, length, out));
  if (n == length) return arrow::Status::OK();
  return MakeOsError(ErrorKind::kCommit, EIO, "cannot read the file, it has shrunk", path_);
}

arrow::Status ParquetSource::ReadRange(int64_t offset, int64_t length, ByteBuffer* out) const {
  ARROW_RETURN_NOT_OK(CheckRange(offset, length));
  ARROW_RETURN_NOT_OK(out->Resize(length));
  return ReadWhole(offset, length, out->data());
}

arrow::Result<std::string> ParquetSource::ReadRange(int64_t offset, int64_t length) const {
  ARROW_RETURN_NOT_OK(CheckRange(offset, length));
  try {
    std::string out(static_cast<size_t>(length), '\0');
    ARROW_RETURN_NOT_OK(ReadWhole(offset, length, out.data()));
    return out;
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to read ", length, " bytes of '", path_, "'");
  }
}

arrow::Result<ChunkRange> ParquetSource::FindBloomFilter(int row_group, int column) const {
  if (!index_.chunk(row_group, column).has_bloom_filter) return ChunkRange{};
  ARROW_ASSIGN_OR_RAISE(const thrift::Value chunk, ReadChunk(row_group, column));
  const thrift::Value& meta = *chunk.Find(field::column_chunk::kMetaData);
  const int64_t offset = meta.GetInt(field::column_metadata::kBloomFilterOffset, -1);
  if (offset <= 0 || offset >= index_.footer_begin)
    return Corrupt("bloom filter lies outside the file");
  int64_t length = meta.GetInt(field::column_metadata::kBloomFilterLength, -1);
  if (length < 0) {
    // Older writers give no length: the filter's own header does.
    std::array<char, kMaxBloomHeader> buffer;
    WindowInput input(fd_, path_, buffer);
    Cursor cursor(&input, offset, std::min(offset + kMaxBloomHeader, index_.footer_begin));
    int64_t max_values = 64;
    const thrift::Value header = thrift::ReadValue(&cursor, Type::kStruct, &max_values);
    if (!cursor.ok()) {
      return cursor.status().IsIOError() ? cursor.status() : Corrupt("bloom filter header");
    }
    const int64_t bits = header.GetInt(field::bloom_filter_header::kNumBytes, -1);
    if (bits < 0) return Corrupt("bloom filter length");
    length = bits + (cursor.position() - offset);
  }
  if (length > kMaxBloomFilter || length > index_.footer_begin - offset) {
    return Corrupt("bloom filter length");
  }
  return ChunkRange{offset, length};
}

arrow::Result<std::string> ParquetSource::ReadBloomFilter(int row_group, int column,
                                                          Reservation* charge) const {
  ARROW_ASSIGN_OR_RAISE(const ChunkRange range, FindBloomFilter(row_group, column));
  if (range.length == 0) return std::string();
  ARROW_RETURN_NOT_OK(charge->Resize(charge->bytes() + range.length));
  return ReadRange(range.offset, range.length);
}

}  // namespace floodwall
