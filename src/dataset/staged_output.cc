#include "dataset/staged_output.h"

#include <cstring>

namespace floodwall {

arrow::Result<std::shared_ptr<StagedOutput>> StagedOutput::Make(std::unique_ptr<StagedFile> file,
                                                                arrow::MemoryPool* pool) {
  auto out = std::make_shared<StagedOutput>();
  out->set_mode(arrow::io::FileMode::WRITE);
  out->file_ = std::move(file);
  ARROW_ASSIGN_OR_RAISE(out->buffer_, arrow::AllocateBuffer(kBufferBytes, pool));
  return out;
}

arrow::Status StagedOutput::Write(const void* data, int64_t length) {
  if (length > kBufferBytes - used_) {
    ARROW_RETURN_NOT_OK(Flush());
    if (length >= kBufferBytes) return file_->Write(data, length);
  }
  std::memcpy(buffer_->mutable_data() + used_, data, static_cast<size_t>(length));
  used_ += length;
  return arrow::Status::OK();
}

arrow::Status StagedOutput::Flush() {
  if (used_ == 0) return arrow::Status::OK();
  ARROW_RETURN_NOT_OK(file_->Write(buffer_->data(), used_));
  used_ = 0;
  return arrow::Status::OK();
}

arrow::Status StagedOutput::Close() {
  if (closed_) return arrow::Status::OK();
  ARROW_RETURN_NOT_OK(Flush());
  closed_ = true;
  return file_->Close();
}

arrow::Status StagedOutput::CopyFrom(int source_fd, int64_t offset, int64_t length) {
  ARROW_RETURN_NOT_OK(Flush());
  return file_->CopyFrom(source_fd, offset, length);
}

arrow::Status StagedOutput::Rewind(int64_t position) {
  ARROW_RETURN_NOT_OK(Flush());
  return file_->Truncate(position);
}

arrow::Status StagedOutput::Sync() {
  ARROW_RETURN_NOT_OK(Flush());
  return file_->Sync();
}

}  // namespace floodwall
