#pragma once

/// Replaces and removes values of one top-level column as Arrow values: for nested columns, whose
/// levels ColumnRecoder does not touch, and for columns that a file does not have yet.
///
/// One row group is decoded batch by batch, edited, encoded into a OneColumnFile and spliced.
///
/// Threading: one thread a recoder. Errors: kSchemaMismatch for values that do not fit the column,
/// kUnsupportedFile for pages that cannot be decoded. Lifetime: borrows everything.
/// Memory: from the encode pool, within Need().

#include <memory>
#include <string>
#include <vector>

#include "dataset/commit.h"
#include "dataset/parquet_assembler.h"
#include "merge/column_recoder.h"
#include "merge/field_plan.h"
#include "merge/run_context.h"

namespace floodwall {

class FieldRecoder {
 public:
  FieldRecoder(std::shared_ptr<ParquetSource> file, int row_group, const FieldPlan& plan,
               const std::vector<RowMatch>* edits, ColumnRecoder::TakeValues take,
               RunContext* context)
      : file_(std::move(file)),
        row_group_(row_group),
        plan_(plan),
        edits_(edits),
        take_(std::move(take)),
        context_(context) {}

  /// Whether a replaced value differs or a row is removed; stops at the first.
  arrow::Result<bool> Differs();

  /// Encodes the column with the new values into the assembler, all its leaves. changed[i] becomes
  /// 1 where edit i's value differs.
  /// extend: an added column is not in the assembler's schema yet.
  arrow::Status Recode(ParquetAssembler* assembler, Storage* storage, Commit* commit, bool extend,
                       std::vector<uint8_t>* changed);

  /// Upper bound of the memory that Differs and Recode take, by the sizes in the footer and the
  /// page headers.
  static arrow::Result<int64_t> Need(const ParquetSource& file, int row_group,
                                     const FieldPlan& plan);

 private:
  using Emit = std::function<arrow::Status(const std::shared_ptr<arrow::Array>&)>;
  arrow::Status ForEachEdited(std::vector<uint8_t>* changed, const Emit& emit);
  arrow::Status Edit(const std::shared_ptr<arrow::Array>& old, int64_t first_row, size_t begin,
                     size_t end, std::vector<uint8_t>* changed, const Emit& emit);
  arrow::Result<int64_t> BatchRows() const;

  std::shared_ptr<ParquetSource> file_;
  int row_group_;
  const FieldPlan& plan_;
  const std::vector<RowMatch>* edits_;
  ColumnRecoder::TakeValues take_;
  RunContext* context_;
  std::shared_ptr<arrow::Field> field_;
};

}  // namespace floodwall
