#include "merge/stream_rows.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "arrow/builder.h"
#include "arrow/compute/api.h"
#include "arrow/table.h"
#include "arrow/util/byte_size.h"
#include "floodwall/bytes.h"
#include "merge/plain_values.h"
#include "merge/value_lengths.h"
#include "spill/row_spill.h"

namespace floodwall {
namespace {

/// Small batches are gathered to this size before they are spilled, large ones cut.
constexpr int64_t kSpillBatchBytes = 2 * kMiB;

std::shared_ptr<arrow::Schema> PlainSchema(const arrow::Schema& schema) {
  arrow::FieldVector fields;
  for (const auto& field : schema.fields()) {
    fields.push_back(field->WithType(PlainType(field->type())));
  }
  return arrow::schema(std::move(fields));
}

/// Counts buffers that batches hold, each once: batches may be slices of one table.
class HeldBuffers {
 public:
  int64_t Add(const arrow::RecordBatch& batch) {
    int64_t bytes = 0;
    for (const auto& column : batch.column_data()) bytes += Add(*column);
    return bytes;
  }

 private:
  int64_t Add(const arrow::ArrayData& data) {
    int64_t bytes = 0;
    for (const auto& buffer : data.buffers) {
      const arrow::Buffer* whole = buffer.get();
      while (whole != nullptr && whole->parent()) whole = whole->parent().get();
      if (whole != nullptr && seen_.insert(whole->address()).second) bytes += whole->size();
    }
    for (const auto& child : data.child_data) bytes += Add(*child);
    if (data.dictionary) bytes += Add(*data.dictionary);
    return bytes;
  }
  std::unordered_set<uintptr_t> seen_;
};

/// A stream in one chain of a spill file.
class SpilledRows {
 public:
  explicit SpilledRows(RunContext* context) : context_(context) {}

  arrow::Status Open(const arrow::Schema& schema) {
    ARROW_ASSIGN_OR_RAISE(spill_, RowSpill::Make(context_->spill.get(), PlainSchema(schema), 1,
                                                 context_->payload_pool));
    longest_.assign(static_cast<size_t>(schema.num_fields()), 0);
    return arrow::Status::OK();
  }

  arrow::Status Append(const arrow::RecordBatch& batch) {
    ARROW_ASSIGN_OR_RAISE(const int64_t bytes, arrow::util::ReferencedBufferSize(batch));
    const int64_t row_bytes = bytes / std::max<int64_t>(batch.num_rows(), 1) + 1;
    const int64_t rows = std::clamp<int64_t>(kSpillBatchBytes / row_bytes, 1, most_rows_);
    for (int64_t first = 0; first < batch.num_rows(); first += rows) {
      const auto slice = batch.Slice(first, rows);
      arrow::ArrayVector columns;
      for (const auto& column : slice->columns()) {
        ARROW_ASSIGN_OR_RAISE(auto plain, PlainValues(column, context_->payload_pool));
        int64_t& longest = longest_[columns.size()];
        longest = std::max(longest, LongestValue(*plain));
        columns.push_back(std::move(plain));
      }
      ARROW_RETURN_NOT_OK(Gather(
          arrow::RecordBatch::Make(spill_->schema(), slice->num_rows(), std::move(columns))));
    }
    return arrow::Status::OK();
  }

  arrow::Status Flush() {
    if (gathered_.empty()) return arrow::Status::OK();
    auto batch = gathered_.front();
    if (gathered_.size() > 1) {
      ARROW_ASSIGN_OR_RAISE(batch,
                            arrow::ConcatenateRecordBatches(gathered_, context_->payload_pool));
    }
    gathered_.clear();
    most_bytes_ = std::max(most_bytes_, gathered_bytes_);
    bytes_ += gathered_bytes_;
    gathered_rows_ = gathered_bytes_ = 0;
    starts_.push_back(rows_);
    rows_ += batch->num_rows();
    return spill_->Append(0, *batch);
  }

  int64_t rows() const { return rows_; }
  int64_t bytes_per_row() const { return bytes_ / std::max<int64_t>(rows_, 1) + 1; }
  /// Of the largest batch.
  int64_t most_bytes() const { return most_bytes_; }
  int64_t longest(int column) const { return longest_[static_cast<size_t>(column)]; }
  const RowSpill& spill() const { return *spill_; }
  int64_t start(size_t region) const { return starts_[region]; }
  void set_most_rows(int64_t rows) { most_rows_ = rows; }

 private:
  arrow::Status Gather(std::shared_ptr<arrow::RecordBatch> batch) {
    const int64_t rows = batch->num_rows();
    ARROW_ASSIGN_OR_RAISE(const int64_t bytes, arrow::util::ReferencedBufferSize(*batch));
    if (bytes > kSpillBatchBytes && rows > 1) {  // wide rows among narrow ones
      ARROW_RETURN_NOT_OK(Gather(batch->Slice(0, rows / 2)));
      return Gather(batch->Slice(rows / 2));
    }
    if (gathered_rows_ + rows > most_rows_ || gathered_bytes_ + bytes > kSpillBatchBytes) {
      ARROW_RETURN_NOT_OK(Flush());
    }
    gathered_rows_ += rows;
    gathered_bytes_ += bytes;
    gathered_.push_back(std::move(batch));
    return arrow::Status::OK();
  }

  RunContext* context_;
  std::unique_ptr<RowSpill> spill_;
  int64_t most_rows_ = 1;
  arrow::RecordBatchVector gathered_;
  int64_t gathered_rows_ = 0;
  int64_t gathered_bytes_ = 0;
  std::vector<int64_t> starts_;  ///< first ordinal of each region
  int64_t rows_ = 0;
  int64_t bytes_ = 0;
  int64_t most_bytes_ = 0;
  std::vector<int64_t> longest_;  ///< value of each column
};

class StreamRows final : public RowSource {
 public:
  StreamRows(std::shared_ptr<arrow::RecordBatchReader> reader, RunContext* context)
      : RowSource(context), reader_(std::move(reader)) {
    schema_ = reader_->schema();
  }

  arrow::Status Open() {
    while (true) {
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      ARROW_RETURN_NOT_OK(reader_->ReadNext(&first_));
      if (!first_ || first_->num_rows() > 0) break;
    }
    num_rows_ = first_ ? first_->num_rows() : 0;
    return arrow::Status::OK();
  }

  arrow::Status Prepare() override {
    context_->progress.StartPhase("spool", 0, 0);
    const int64_t most = context_->options.max_memory_bytes / kHeldShare;
    ARROW_ASSIGN_OR_RAISE(held_, Reservation::Make(context_->payload_pool->budget(), 0));
    arrow::RecordBatchVector batches;
    HeldBuffers buffers;
    int64_t bytes = 0;
    for (auto batch = std::move(first_); batch != nullptr;) {
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      if (!spilled_) bytes += buffers.Add(*batch);
      if (!spilled_ && (bytes > most || !held_.Resize(bytes).ok())) {
        const arrow::Status started = StartSpill(std::exchange(batches, {}));
        if (started.IsOutOfMemory()) return RowsTooLong(std::move(batch));
        ARROW_RETURN_NOT_OK(started);
      }
      context_->progress.Advance(0, batch->num_rows());
      if (spilled_) {
        const arrow::Status appended = spilled_->Append(*batch);
        if (appended.IsOutOfMemory()) return RowsTooLong(std::move(batch));
        ARROW_RETURN_NOT_OK(appended);
      } else {
        batches.push_back(batch);
      }
      ARROW_RETURN_NOT_OK(reader_->ReadNext(&batch));
    }
    reader_.reset();
    if (spilled_) {
      ARROW_RETURN_NOT_OK(spilled_->Flush());
      num_rows_ = spilled_->rows();
      return arrow::Status::OK();
    }
    ARROW_ASSIGN_OR_RAISE(auto table, arrow::Table::FromRecordBatches(schema_, batches));
    num_rows_ = table->num_rows();
    table_ = MakeTableRows(std::move(table), context_);
    return arrow::Status::OK();
  }

  bool resident() const override { return table_ != nullptr; }
  bool may_be_held() const override { return spilled_ != nullptr; }
  int64_t size_bytes() const override { return table_ ? 0 : spilled_->spill().size_bytes(); }
  arrow::Result<int64_t> LoadedBytesPerRow() override {
    return table_ ? 0 : spilled_->bytes_per_row();
  }
  arrow::Result<int64_t> LongestValue(int column) override {
    return table_ ? table_->LongestValue(column) : spilled_->longest(column);
  }
  arrow::Result<int64_t> ReadNeed(const std::vector<std::string>&) override {
    return table_ ? 0 : 2 * spilled_->most_bytes() + 256 * kKiB;
  }

  arrow::Status ReadRows(const std::vector<std::string>& columns, int64_t first, int64_t last,
                         const Visit& visit) override {
    if (table_) return table_->ReadRows(columns, first, last, visit);
    std::vector<int> indices;
    arrow::FieldVector fields;
    for (const std::string& name : columns) {
      indices.push_back(schema_->GetFieldIndex(name));
      fields.push_back(spilled_->spill().schema()->field(indices.back()));
    }
    const auto schema = arrow::schema(std::move(fields));
    const auto regions = spilled_->spill().regions(0);
    for (size_t r = 0; r < regions.size(); ++r) {
      const int64_t start = spilled_->start(r);
      const int64_t begin = std::max(first, start);
      const int64_t end = std::min(last, start + regions[r].rows);
      if (begin >= end) continue;
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      arrow::ArrayVector arrays;
      for (const int column : indices) {
        ARROW_ASSIGN_OR_RAISE(
            auto values, spilled_->spill().ReadColumn(regions[r], column, context_->read_pool));
        arrays.push_back(values->Slice(begin - start, end - begin));
      }
      ARROW_RETURN_NOT_OK(
          visit(begin, *arrow::RecordBatch::Make(schema, end - begin, std::move(arrays))));
    }
    return arrow::Status::OK();
  }

  arrow::Result<std::shared_ptr<const RowSet>> Load(std::vector<int64_t> ordinals) override {
    if (table_) return table_->Load(std::move(ordinals));
    const auto regions = spilled_->spill().regions(0);
    arrow::compute::ExecContext exec(context_->payload_pool);
    exec.set_use_threads(false);
    const auto& schema = spilled_->spill().schema();
    std::vector<arrow::ArrayVector> chunks(static_cast<size_t>(schema->num_fields()));
    size_t next = 0;
    for (size_t r = 0; r < regions.size() && next < ordinals.size(); ++r) {
      const int64_t start = spilled_->start(r);
      const int64_t end = start + regions[r].rows;
      if (ordinals[next] >= end) continue;
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      arrow::Int64Builder wanted(context_->payload_pool);
      for (; next < ordinals.size() && ordinals[next] < end; ++next) {
        ARROW_RETURN_NOT_OK(wanted.Append(ordinals[next] - start));
      }
      ARROW_ASSIGN_OR_RAISE(auto indices, wanted.Finish());
      for (size_t c = 0; c < chunks.size(); ++c) {
        ARROW_ASSIGN_OR_RAISE(
            auto values,
            spilled_->spill().ReadColumn(regions[r], static_cast<int>(c), context_->read_pool));
        ARROW_ASSIGN_OR_RAISE(
            auto taken, arrow::compute::Take(*values, *indices,
                                             arrow::compute::TakeOptions::NoBoundsCheck(), &exec));
        chunks[c].push_back(std::move(taken));
      }
    }
    std::vector<std::shared_ptr<arrow::ChunkedArray>> columns;
    for (int c = 0; c < schema->num_fields(); ++c) {
      columns.push_back(std::make_shared<arrow::ChunkedArray>(
          std::move(chunks[static_cast<size_t>(c)]), schema->field(c)->type()));
    }
    auto table =
        arrow::Table::Make(schema, std::move(columns), static_cast<int64_t>(ordinals.size()));
    return std::make_shared<const LoadedRows>(std::move(table), std::move(ordinals));
  }

 private:
  /// Reads on to the end, so that the minimum is enough for every row.
  arrow::Status RowsTooLong(std::shared_ptr<arrow::RecordBatch> batch) {
    int64_t longest = 0;
    for (int c = 0; c < schema_->num_fields(); ++c) longest += spilled_->longest(c);
    while (batch != nullptr) {
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      int64_t row = 0;
      for (const auto& column : batch->columns()) row += floodwall::LongestValue(*column);
      longest = std::max(longest, row);
      ARROW_RETURN_NOT_OK(reader_->ReadNext(&batch));
    }
    return context_->TooSmall("a row of " + FormatBytes(longest) + " is spooled and rewritten",
                              16 * longest + context_->budget->used_bytes() + 32 * kMiB);
  }

  arrow::Status StartSpill(arrow::RecordBatchVector batches) {
    spilled_ = std::make_unique<SpilledRows>(context_);
    spilled_->set_most_rows(kBatchRows);
    ARROW_RETURN_NOT_OK(spilled_->Open(*schema_));
    for (auto& batch : batches) {
      ARROW_RETURN_NOT_OK(spilled_->Append(*batch));
      batch.reset();
    }
    return held_.Resize(0);
  }

  std::shared_ptr<arrow::RecordBatchReader> reader_;
  std::shared_ptr<arrow::RecordBatch> first_;
  Reservation held_;
  std::unique_ptr<RowSource> table_;  ///< a stream that fits
  std::unique_ptr<SpilledRows> spilled_;
};

}  // namespace

arrow::Result<std::unique_ptr<RowSource>> OpenStream(
    std::shared_ptr<arrow::RecordBatchReader> reader, RunContext* context) {
  auto rows = std::make_unique<StreamRows>(std::move(reader), context);
  ARROW_RETURN_NOT_OK(rows->Open());
  return rows;
}

}  // namespace floodwall
