#include "spill/row_spill.h"

#include <cstring>
#include <new>
#include <utility>

#include "arrow/io/memory.h"
#include "arrow/ipc/dictionary.h"
#include "arrow/ipc/reader.h"
#include "arrow/ipc/writer.h"
#include "arrow/util/compression.h"

namespace floodwall {
namespace {

constexpr auto kLengthBytes = static_cast<int64_t>(sizeof(int64_t));

/// The end of a spill file as Arrow's output stream, which writes many small pieces.
class SpillOutput final : public arrow::io::OutputStream {
 public:
  static constexpr int64_t kBufferBytes = 64 << 10;
  SpillOutput(SpillFile* file, arrow::Buffer* buffer) : file_(file), buffer_(buffer) {
    set_mode(arrow::io::FileMode::WRITE);
  }
  arrow::Status Write(const void* data, int64_t length) override {
    if (length > kBufferBytes - held_) {
      ARROW_RETURN_NOT_OK(Flush());
      if (length >= kBufferBytes) return file_->Append(data, length);
    }
    std::memcpy(buffer_->mutable_data() + held_, data, static_cast<size_t>(length));
    held_ += length;
    return arrow::Status::OK();
  }
  using arrow::io::OutputStream::Write;
  arrow::Status Flush() override {
    const int64_t length = std::exchange(held_, 0);
    return length > 0 ? file_->Append(buffer_->data(), length) : arrow::Status::OK();
  }
  arrow::Result<int64_t> Tell() const override { return file_->size() + held_; }
  arrow::Status Close() override { return Flush(); }
  bool closed() const override { return false; }

 private:
  SpillFile* file_;
  arrow::Buffer* buffer_;
  int64_t held_ = 0;
};

}  // namespace

arrow::Result<std::unique_ptr<RowSpill>> RowSpill::Make(SpillDirectory* directory,
                                                        std::shared_ptr<arrow::Schema> schema,
                                                        int chains, arrow::MemoryPool* pool) {
  auto out = std::unique_ptr<RowSpill>(new RowSpill(std::move(schema), pool));
  out->options_ = arrow::ipc::IpcWriteOptions::Defaults();
  out->options_.memory_pool = pool;
  out->options_.use_threads = false;
  ARROW_ASSIGN_OR_RAISE(out->options_.codec,
                        arrow::util::Codec::Create(arrow::Compression::LZ4_FRAME));
  ARROW_ASSIGN_OR_RAISE(out->buffer_, arrow::AllocateBuffer(SpillOutput::kBufferBytes, pool));
  ARROW_ASSIGN_OR_RAISE(out->file_, directory->NewFile());
  for (int i = 0; i < chains; ++i) {
    out->chains_.emplace_back(arrow::stl::allocator<RowRegion>(pool));
  }
  return out;
}

arrow::Status RowSpill::Append(int chain, const arrow::RecordBatch& batch) {
  SpillOutput output(file_.get(), buffer_.get());
  std::vector<int64_t> lengths;
  ARROW_ASSIGN_OR_RAISE(int64_t start, output.Tell());
  for (int c = 0; c < batch.num_columns(); ++c) {
    const auto column = arrow::RecordBatch::Make(arrow::schema({schema_->field(c)}),
                                                 batch.num_rows(), {batch.column(c)});
    arrow::ipc::IpcPayload payload;
    ARROW_RETURN_NOT_OK(arrow::ipc::GetRecordBatchPayload(*column, options_, &payload));
    int32_t metadata_length = 0;
    ARROW_RETURN_NOT_OK(arrow::ipc::WriteIpcPayload(payload, options_, &output, &metadata_length));
    ARROW_ASSIGN_OR_RAISE(const int64_t end, output.Tell());
    lengths.push_back(end - start);
    start = end;
  }
  ARROW_RETURN_NOT_OK(
      output.Write(lengths.data(), static_cast<int64_t>(lengths.size()) * kLengthBytes));
  ARROW_RETURN_NOT_OK(output.Flush());
  try {
    chains_[static_cast<size_t>(chain)].push_back({start, batch.num_rows()});
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory for the list of spilled batches");
  }
  return arrow::Status::OK();
}

int64_t RowSpill::rows(int chain) const {
  int64_t rows = 0;
  for (const RowRegion& region : regions(chain)) rows += region.rows;
  return rows;
}

arrow::Result<std::shared_ptr<arrow::Array>> RowSpill::ReadColumn(const RowRegion& region,
                                                                  int column,
                                                                  arrow::MemoryPool* pool) const {
  std::vector<int64_t> lengths(static_cast<size_t>(schema_->num_fields()));
  ARROW_RETURN_NOT_OK(file_->ReadAt(
      region.lengths_at, static_cast<int64_t>(lengths.size()) * kLengthBytes, lengths.data()));
  int64_t start = region.lengths_at;
  for (size_t c = static_cast<size_t>(column); c < lengths.size(); ++c) start -= lengths[c];
  const int64_t length = lengths[static_cast<size_t>(column)];
  ARROW_ASSIGN_OR_RAISE(std::shared_ptr<arrow::Buffer> message,
                        arrow::AllocateBuffer(length, pool));
  ARROW_RETURN_NOT_OK(file_->ReadAt(start, length, message->mutable_data()));
  auto options = arrow::ipc::IpcReadOptions::Defaults();
  options.memory_pool = pool;
  options.use_threads = false;
  arrow::io::BufferReader reader(std::move(message));
  arrow::ipc::DictionaryMemo dictionaries;
  ARROW_ASSIGN_OR_RAISE(auto batch,
                        arrow::ipc::ReadRecordBatch(arrow::schema({schema_->field(column)}),
                                                    &dictionaries, options, &reader));
  return batch->column(0);
}

}  // namespace floodwall
