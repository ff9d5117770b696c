#include "spill/spill_streams.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace floodwall {

arrow::Result<std::unique_ptr<SpillStreams>> SpillStreams::Make(SpillDirectory* directory,
                                                                int count, int64_t block_bytes,
                                                                arrow::MemoryPool* pool) {
  auto out = std::unique_ptr<SpillStreams>(new SpillStreams(block_bytes, pool));
  ARROW_ASSIGN_OR_RAISE(out->file_, directory->NewFile());
  out->streams_.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) out->streams_.emplace_back(pool);
  return out;
}

arrow::Status SpillStreams::WriteBlock(Stream* stream) {
  try {
    stream->blocks.push_back(file_->size());
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory for the list of spilled blocks");
  }
  ARROW_RETURN_NOT_OK(file_->Append(stream->block->data(), stream->filled));
  stream->filled = 0;
  return arrow::Status::OK();
}

arrow::Status SpillStreams::Append(int stream, const void* data, int64_t length) {
  Stream& out = streams_[static_cast<size_t>(stream)];
  const char* from = static_cast<const char*>(data);
  out.bytes += length;
  if (!out.block) {
    ARROW_ASSIGN_OR_RAISE(out.block, arrow::AllocateBuffer(block_bytes_, pool_));
  }
  while (length > 0) {
    const int64_t n = std::min(length, block_bytes_ - out.filled);
    std::memcpy(out.block->mutable_data() + out.filled, from, static_cast<size_t>(n));
    out.filled += n;
    from += n;
    length -= n;
    if (out.filled == block_bytes_) ARROW_RETURN_NOT_OK(WriteBlock(&out));
  }
  return arrow::Status::OK();
}

arrow::Status SpillStreams::Finish() {
  for (Stream& stream : streams_) {
    if (stream.filled > 0) ARROW_RETURN_NOT_OK(WriteBlock(&stream));
    stream.block.reset();
  }
  return arrow::Status::OK();
}

arrow::Result<SpillStreams::Reader> SpillStreams::Reader::Make(const SpillStreams* streams,
                                                               int stream) {
  Reader reader;
  reader.streams_ = streams;
  reader.stream_ = stream;
  reader.left_ = streams->bytes(stream);
  if (reader.left_ > 0) {
    ARROW_ASSIGN_OR_RAISE(
        reader.block_,
        arrow::AllocateBuffer(std::min(reader.left_, streams->block_bytes_), streams->pool_));
  }
  return reader;
}

arrow::Status SpillStreams::Reader::Read(void* out, int64_t length) {
  if (length > left_) return arrow::Status::Invalid("read beyond the end of a spilled stream");
  char* to = static_cast<char*>(out);
  while (length > 0) {
    if (position_ == filled_) {
      const auto& blocks = streams_->streams_[static_cast<size_t>(stream_)].blocks;
      filled_ = std::min(left_, streams_->block_bytes_);
      position_ = 0;
      ARROW_RETURN_NOT_OK(
          streams_->file_->ReadAt(blocks[next_block_++], filled_, block_->mutable_data()));
    }
    const int64_t n = std::min(length, filled_ - position_);
    std::memcpy(to, block_->data() + position_, static_cast<size_t>(n));
    to += n;
    position_ += n;
    left_ -= n;
    length -= n;
  }
  return arrow::Status::OK();
}

}  // namespace floodwall
