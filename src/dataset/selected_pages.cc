#include "dataset/selected_pages.h"

#include <algorithm>
#include <utility>

#include "arrow/buffer.h"
#include "dataset/chunk_pages.h"
#include "dataset/parquet_thrift.h"
#include "dataset/pread_file.h"

namespace floodwall {

namespace field = parquet_field;

/// Reads through the pieces.
class SelectedPagesFile final : public arrow::io::RandomAccessFile {
 public:
  SelectedPagesFile(const SelectedPages& pages, arrow::MemoryPool* pool)
      : file_(pages.file_), pieces_(pages.pieces_), pool_(pool) {
    set_mode(arrow::io::FileMode::READ);
    std::sort(pieces_.begin(), pieces_.end(),
              [](const auto& a, const auto& b) { return a.begin < b.begin; });
  }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Result<int64_t> GetSize() override { return file_->size_bytes(); }
  arrow::Status Seek(int64_t position) override {
    if (position < 0) return arrow::Status::Invalid("negative position: ", position);
    position_ = position;
    return arrow::Status::OK();
  }
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
    if (position < 0 || length < 0) {
      return arrow::Status::Invalid("cannot read ", length, " bytes at ", position);
    }
    auto piece = std::upper_bound(pieces_.begin(), pieces_.end(), position,
                                  [](int64_t at, const auto& p) { return at < p.begin; });
    if (piece != pieces_.begin()) --piece;
    int64_t done = 0;
    // Between two chunks there is nothing to be read.
    for (; piece != pieces_.end() && done < length; ++piece) {
      const int64_t skip = position + done - piece->begin;
      if (skip < 0 || skip >= piece->length) break;
      const int64_t count = std::min(length - done, piece->length - skip);
      ARROW_ASSIGN_OR_RAISE(const int64_t n,
                            ReadFully(file_->fd(), file_->path(), piece->source + skip, count,
                                      static_cast<char*>(out) + done));
      done += n;
      if (n < count) break;
    }
    return done;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t length) override {
    length = std::clamp<int64_t>(length, 0, file_->size_bytes());
    ARROW_ASSIGN_OR_RAISE(auto buffer, arrow::AllocateResizableBuffer(length, pool_));
    ARROW_ASSIGN_OR_RAISE(const int64_t n, ReadAt(position, length, buffer->mutable_data()));
    ARROW_RETURN_NOT_OK(buffer->Resize(n));
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }

 private:
  const std::shared_ptr<ParquetSource> file_;
  std::vector<SelectedPages::Piece> pieces_;
  arrow::MemoryPool* const pool_;
  int64_t position_ = 0;
  bool closed_ = false;
};

SelectedPages::SelectedPages(std::shared_ptr<ParquetSource> file, int row_group)
    : file_(std::move(file)), row_group_(row_group) {}

arrow::Result<bool> SelectedPages::Add(int column, const PageIndex& index,
                                       const std::vector<RowRange>& rows) {
  const ChunkRange whole = file_->chunk_range(row_group_, column);
  const auto for_each = [&](const auto& visit) -> arrow::Result<bool> {
    auto wanted = rows.begin();
    for (const PageIndex::Page& page : index.pages()) {
      while (wanted != rows.end() && wanted->end <= page.rows.begin) ++wanted;
      if (wanted == rows.end() || wanted->begin >= page.rows.end) continue;
      ARROW_ASSIGN_OR_RAISE(const bool goes_on, visit(page));
      if (!goes_on) return false;
    }
    return true;
  };
  size_t count = 0;
  ARROW_RETURN_NOT_OK(for_each([&](const PageIndex::Page&) -> arrow::Result<bool> {
                        ++count;
                        return true;
                      }).status());
  // Pieces are here, in the list of all while it grows, and in that of a reader.
  const auto charge = static_cast<int64_t>(4 * (pieces_.size() + count + 1) * sizeof(Piece) +
                                           count * sizeof(RowRange));
  if (charge_ == nullptr) {
    ARROW_ASSIGN_OR_RAISE(auto first, Reservation::Make(file_->budget(), 0));
    charge_ = std::make_shared<Reservation>(std::move(first));
  }
  if (!charge_->Resize(charge_->bytes() + charge).ok()) return false;
  Chunk chunk;
  chunk.dictionary_bytes = index.dictionary_bytes();
  chunk.bytes = index.dictionary_bytes();
  chunk.rows.reserve(count);
  std::vector<Piece> pieces;
  pieces.reserve(count + 1);
  if (chunk.bytes > 0) pieces.push_back({whole.offset, chunk.bytes, whole.offset});
  const auto add = [&](const PageIndex::Page& page) -> arrow::Result<bool> {
    const auto entry = ReadPageEntry(*file_, page.bytes.offset,
                                     page.bytes.offset + page.bytes.length, /*dictionary=*/false);
    if (!entry.ok() && entry.status().IsIOError()) return entry.status();
    if (!entry.ok() || !*entry || (*entry)->total_bytes() != page.bytes.length ||
        (*entry)->num_values != page.rows.end - page.rows.begin) {
      return false;
    }
    const int64_t at = whole.offset + chunk.bytes;
    if (!pieces.empty() && pieces.back().source + pieces.back().length == page.bytes.offset) {
      pieces.back().length += page.bytes.length;
    } else {
      pieces.push_back({at, page.bytes.length, page.bytes.offset});
    }
    chunk.bytes += page.bytes.length;
    chunk.values += (*entry)->num_values;
    chunk.rows.push_back(page.rows);
    return true;
  };
  ARROW_ASSIGN_OR_RAISE(const bool all, for_each(add));
  if (!all) return false;
  pieces_.insert(pieces_.end(), pieces.begin(), pieces.end());
  bytes_ += chunk.bytes;
  chunks_.insert_or_assign(column, std::move(chunk));
  return true;
}

std::shared_ptr<arrow::io::RandomAccessFile> SelectedPages::OpenInput(
    arrow::MemoryPool* pool) const {
  return std::make_shared<SelectedPagesFile>(*this, pool);
}

arrow::Result<std::shared_ptr<parquet::FileMetaData>> SelectedPages::Metadata() const {
  std::map<int, std::string> replaced;
  for (const auto& [column, chunk] : chunks_) {
    ARROW_ASSIGN_OR_RAISE(thrift::Value tree, file_->ReadChunk(row_group_, column));
    thrift::Value* meta = tree.Find(field::column_chunk::kMetaData);
    namespace id = field::column_metadata;
    using thrift::Type;
    const int64_t begin = file_->chunk_range(row_group_, column).offset;
    meta->SetInt(id::kNumValues, Type::kI64, chunk.values);
    meta->SetInt(id::kTotalCompressedSize, Type::kI64, chunk.bytes);
    // Where the footer names no dictionary page, the data starts with it.
    const int64_t dictionary = meta->GetInt(id::kDictionaryPageOffset, 0);
    meta->SetInt(id::kDataPageOffset, Type::kI64,
                 dictionary == begin ? begin + chunk.dictionary_bytes : begin);
    std::string encoded;
    thrift::AppendStruct(tree, &encoded);
    replaced.emplace(column, std::move(encoded));
  }
  return file_->ReplacedMetadata(row_group_, replaced);
}

}  // namespace floodwall
