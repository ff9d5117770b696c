#include "dataset/parquet_assembler.h"

#include <algorithm>
#include <limits>
#include <new>
#include <utility>

#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

constexpr char kMagic[] = "PAR1";

/// A row group's part of the footer is read, and written a little longer, while the base's header
/// is at hand.
int64_t FooterRoom(const ParquetSource& base) {
  int64_t widest = 0;
  for (int g = 0; g < base.num_row_groups(); ++g) {
    widest = std::max(widest, base.row_group_bytes(g) + int64_t{16} * base.num_columns());
  }
  return 3 * widest + static_cast<int64_t>(base.footer_header().size());
}

/// Rough size of a deque's share beside the chunks of a row group.
constexpr int64_t kRowGroupOverhead = 128;

}  // namespace

arrow::Result<std::unique_ptr<ParquetAssembler>> ParquetAssembler::Make(
    std::unique_ptr<StagedFile> output, std::shared_ptr<ParquetSource> base, GuardedPool* pool) {
  auto out = std::unique_ptr<ParquetAssembler>(new ParquetAssembler());
  out->staged_path_ = output->path();
  ARROW_ASSIGN_OR_RAISE(out->charge_, Reservation::Make(pool->budget(), FooterRoom(*base)));
  ARROW_ASSIGN_OR_RAISE(out->sink_, StagedOutput::Make(std::move(output), pool));
  out->base_ = std::move(base);
  ARROW_RETURN_NOT_OK(out->sink_->Write(kMagic, 4));
  return out;
}

arrow::Result<int64_t> ParquetAssembler::Need(const ParquetSource& base) {
  const int64_t row_group =
      base.num_columns() * static_cast<int64_t>(sizeof(OutChunk)) + kRowGroupOverhead;
  int64_t offset_index = 0;
  for (int g = 0; g < base.num_row_groups(); ++g) {
    std::string bytes;
    for (int c = 0; c < base.num_columns(); ++c) {
      if (!base.has_page_index(g, c)) continue;
      if (bytes.empty()) {
        ARROW_ASSIGN_OR_RAISE(bytes, base.ReadRowGroupBytes(g));
      }
      ARROW_ASSIGN_OR_RAISE(const ChunkFacts facts, ReadChunkFacts(base.chunk_bytes(bytes, g, c)));
      offset_index = std::max(offset_index, facts.offset_index.length);
    }
  }
  return FooterRoom(base) + StagedOutput::kBufferBytes + base.num_row_groups() * row_group +
         kOffsetIndexRoom * offset_index;
}

arrow::Status ParquetAssembler::Misused(const std::string& why) {
  return arrow::Status::Invalid("ParquetAssembler: ", why, ", for '", base_->path(), "'");
}

arrow::Status ParquetAssembler::Expect(State state, const char* call) {
  if (state_ == state) return arrow::Status::OK();
  const char* where = state_ == State::kBetween      ? " between row groups"
                      : state_ == State::kInRowGroup ? " inside a row group"
                                                     : " after an error or the end";
  return Misused(std::string(call) + where);
}

arrow::Status ParquetAssembler::Checked(arrow::Status status) {
  if (!status.ok()) state_ = State::kEnded;
  return status;
}

arrow::Status ParquetAssembler::CopyRowGroup(int base_row_group) {
  ARROW_RETURN_NOT_OK(BeginRowGroup(base_row_group));
  for (int c = 0; c < base_->num_columns(); ++c) ARROW_RETURN_NOT_OK(CopyChunk(c));
  return EndRowGroup(base_->row_group_rows(base_row_group));
}

arrow::Status ParquetAssembler::BeginRowGroup(int base_row_group) {
  ARROW_RETURN_NOT_OK(Expect(State::kBetween, "BeginRowGroup"));
  if (base_row_group < 0 || base_row_group >= base_->num_row_groups()) {
    return Checked(Misused("no row group " + std::to_string(base_row_group) + " of " +
                           std::to_string(base_->num_row_groups())));
  }
  const auto columns = static_cast<size_t>(base_->num_columns());
  const auto bytes = static_cast<int64_t>(columns * sizeof(OutChunk)) + kRowGroupOverhead;
  ARROW_RETURN_NOT_OK(Checked(charge_.Resize(charge_.bytes() + bytes)));
  groups_.emplace_back();
  groups_.back().base = base_row_group;
  groups_.back().begin = chunk_begin_ = sink_->position();
  groups_.back().chunks.resize(columns);
  next_column_ = 0;
  group_has_copies_ = false;
  flat_rows_ = -1;
  state_ = State::kInRowGroup;
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::CopyChunk(int column) {
  ARROW_RETURN_NOT_OK(Expect(State::kInRowGroup, "CopyChunk"));
  return Checked(DoCopyChunk(column));
}

arrow::Status ParquetAssembler::AddEncodedChunk(int column, EncodedChunk chunk) {
  ARROW_RETURN_NOT_OK(Expect(State::kInRowGroup, "AddEncodedChunk"));
  return Checked(DoAddEncodedChunk(column, std::move(chunk)));
}

arrow::Status ParquetAssembler::DoCopyChunk(int column) {
  if (column != next_column_ || column >= base_->num_columns()) {
    return Misused("CopyChunk of column " + std::to_string(column) + " where " +
                   std::to_string(next_column_) + " comes next");
  }
  if (sink_->position() != chunk_begin_) return Misused("bytes that belong to no chunk");
  OutRowGroup& group = groups_.back();
  const ChunkRange range = base_->chunk_range(group.base, column);
  if (range.length > 0) {
    ARROW_RETURN_NOT_OK(sink_->CopyFrom(base_->fd(), range.offset, range.length));
  }
  // Nonsense offsets of a chunk without bytes wrap; see chunk_metadata.
  group.chunks[static_cast<size_t>(column)].shift = static_cast<int64_t>(
      static_cast<uint64_t>(chunk_begin_) - static_cast<uint64_t>(range.offset));
  result_.copied_bytes += range.length;
  chunk_begin_ = sink_->position();
  group_has_copies_ = true;
  ++next_column_;
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::CheckPlace(int column, const ChunkFacts& facts) const {
  const std::string which = "the encoded chunk of column " + std::to_string(column);
  const int64_t end = sink_->position();
  if (facts.compressed_bytes < 0 || facts.uncompressed_bytes < 0 || facts.num_values < 0) {
    return arrow::Status::Invalid(which, " has negative counts");
  }
  if (facts.compressed_bytes != end - chunk_begin_ ||
      (facts.compressed_bytes > 0 && facts.first_page != chunk_begin_)) {
    return arrow::Status::Invalid(which, " says it has ", facts.compressed_bytes, " bytes at ",
                                  facts.first_page, ", written were ", end - chunk_begin_, " at ",
                                  chunk_begin_);
  }
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::DoAddEncodedChunk(int column, EncodedChunk chunk) {
  if (column != next_column_ || column >= base_->num_columns()) {
    return Misused("AddEncodedChunk of column " + std::to_string(column) + " where " +
                   std::to_string(next_column_) + " comes next");
  }
  const auto bytes =
      static_cast<int64_t>(chunk.column_chunk.size() + chunk.column_index.size() +
                           chunk.offset_index.size() + chunk.bloom_filter.size() + sizeof(chunk));
  ARROW_RETURN_NOT_OK(charge_.Resize(charge_.bytes() + bytes));
  ARROW_ASSIGN_OR_RAISE(const ChunkFacts facts, ReadChunkFacts(chunk.column_chunk));
  ARROW_ASSIGN_OR_RAISE(const thrift::Value base_chunk,
                        base_->ReadChunk(groups_.back().base, column));
  std::string base_bytes;
  thrift::AppendStruct(base_chunk, &base_bytes);
  ARROW_ASSIGN_OR_RAISE(const ChunkFacts base_facts, ReadChunkFacts(base_bytes));
  // Chunks of another physical type under this footer would make a file that no reader opens.
  if (facts.type != base_facts.type || facts.path != base_facts.path) {
    return Misused("an encoded chunk does not fit column " + std::to_string(column));
  }
  return KeepChunk(column, std::move(chunk), facts);
}

arrow::Status ParquetAssembler::AddNewChunk(EncodedChunk chunk) {
  ARROW_RETURN_NOT_OK(Expect(State::kInRowGroup, "AddNewChunk"));
  if (next_column_ < base_->num_columns()) {
    return Checked(Misused("AddNewChunk before the base's columns"));
  }
  const auto bytes =
      static_cast<int64_t>(chunk.column_chunk.size() + chunk.column_index.size() +
                           chunk.offset_index.size() + sizeof(chunk) + sizeof(OutChunk));
  ARROW_RETURN_NOT_OK(Checked(charge_.Resize(charge_.bytes() + bytes)));
  groups_.back().chunks.emplace_back();
  auto facts = ReadChunkFacts(chunk.column_chunk);
  ARROW_RETURN_NOT_OK(Checked(facts.status()));
  return Checked(KeepChunk(next_column_, std::move(chunk), *facts));
}

arrow::Result<thrift::Value> ParquetAssembler::Header() const {
  return thrift::ParseStruct(header_.empty() ? base_->footer_header() : header_, nullptr);
}

void ParquetAssembler::SetHeader(const thrift::Value& header) {
  header_.clear();
  thrift::AppendStruct(header, &header_);
}

arrow::Status ParquetAssembler::ExtendSchema(const ParquetSource& one_column) {
  namespace field = parquet_field::file_metadata;
  ARROW_ASSIGN_OR_RAISE(thrift::Value header, Header());
  ARROW_ASSIGN_OR_RAISE(const thrift::Value other,
                        thrift::ParseStruct(one_column.footer_header(), nullptr));
  const auto& from = other.Find(field::kSchema)->elements;
  auto& elements = header.Find(field::kSchema)->elements;
  elements.front().SetInt(
      parquet_field::schema_element::kNumChildren, thrift::Type::kI32,
      elements.front().GetInt(parquet_field::schema_element::kNumChildren, 0) + 1);
  elements.insert(elements.end(), from.begin() + 1, from.end());
  thrift::Value* orders = header.Find(field::kColumnOrders);
  const thrift::Value* new_orders = other.Find(field::kColumnOrders);
  if (orders != nullptr && new_orders != nullptr) {
    orders->elements.insert(orders->elements.end(), new_orders->elements.begin(),
                            new_orders->elements.end());
  }
  SetHeader(header);
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::ReplaceMetadata(const std::string& key, const std::string& value) {
  ARROW_ASSIGN_OR_RAISE(thrift::Value header, Header());
  thrift::Value* pairs = header.Find(parquet_field::file_metadata::kKeyValueMetadata);
  if (pairs == nullptr) return arrow::Status::OK();
  for (thrift::Value& pair : pairs->elements) {
    const thrift::Value* name = pair.Find(parquet_field::key_value::kKey);
    if (name != nullptr && name->bytes == key) {
      pair.Set(parquet_field::key_value::kValue, thrift::Binary(value));
    }
  }
  SetHeader(header);
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::SetMetadata(const arrow::KeyValueMetadata& metadata) {
  namespace field = parquet_field;
  ARROW_ASSIGN_OR_RAISE(thrift::Value header, Header());
  thrift::Value pairs;
  pairs.type = thrift::Type::kList;
  pairs.element_type = thrift::Type::kStruct;
  for (int64_t i = 0; i < metadata.size(); ++i) {
    thrift::Value pair;
    pair.type = thrift::Type::kStruct;
    pair.Set(field::key_value::kKey, thrift::Binary(metadata.key(i)));
    pair.Set(field::key_value::kValue, thrift::Binary(metadata.value(i)));
    pairs.elements.push_back(std::move(pair));
  }
  header.Set(field::file_metadata::kKeyValueMetadata, std::move(pairs));
  SetHeader(header);
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::KeepChunk(int column, EncodedChunk chunk, const ChunkFacts& facts) {
  OutRowGroup& group = groups_.back();
  ARROW_RETURN_NOT_OK(CheckPlace(column, facts));
  if (!chunk.offset_index.empty()) {
    std::string same;
    same.reserve(chunk.offset_index.size());
    ARROW_RETURN_NOT_OK(AppendMovedOffsetIndex(chunk.offset_index, 0,
                                               {chunk_begin_, facts.compressed_bytes}, &same));
  }
  if (column < base_->num_columns() &&
      base_->schema().Column(column)->max_repetition_level() == 0) {
    if (flat_rows_ >= 0 && flat_rows_ != facts.num_values) {
      return Misused("encoded chunks of one row group have " + std::to_string(flat_rows_) +
                     " and " + std::to_string(facts.num_values) + " rows");
    }
    flat_rows_ = facts.num_values;
  }
  result_.encoded_bytes += facts.compressed_bytes;
  encoded_.push_back(std::move(chunk));
  group.chunks[static_cast<size_t>(column)].encoded = static_cast<uint32_t>(encoded_.size());
  chunk_begin_ = sink_->position();
  ++next_column_;
  return arrow::Status::OK();
}

arrow::Status ParquetAssembler::EndRowGroup(int64_t num_rows) {
  ARROW_RETURN_NOT_OK(Expect(State::kInRowGroup, "EndRowGroup"));
  OutRowGroup& group = groups_.back();
  const int64_t base_rows = base_->row_group_rows(group.base);
  if (next_column_ < base_->num_columns() || group.chunks.size() != groups_.front().chunks.size()) {
    return Checked(Misused("EndRowGroup after " + std::to_string(next_column_) + " of " +
                           std::to_string(base_->num_columns()) + " columns"));
  }
  if (sink_->position() != chunk_begin_) {
    return Checked(Misused("bytes that belong to no chunk"));
  }
  if (num_rows < 0 || (group_has_copies_ && num_rows != base_rows) ||
      (flat_rows_ >= 0 && num_rows != flat_rows_) ||
      __builtin_add_overflow(result_.num_rows, num_rows, &result_.num_rows)) {
    return Checked(Misused("EndRowGroup with " + std::to_string(num_rows) +
                           " rows; its copied chunks have " + std::to_string(base_rows) +
                           ", its encoded ones " + std::to_string(flat_rows_)));
  }
  group.num_rows = num_rows;
  state_ = State::kBetween;
  return arrow::Status::OK();
}

arrow::Result<AssembledFile> ParquetAssembler::Finish() {
  ARROW_RETURN_NOT_OK(Expect(State::kBetween, "Finish"));
  state_ = State::kEnded;
  try {
    return DoFinish();
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory for the footer of '", staged_path_, "'");
  }
}

}  // namespace floodwall
