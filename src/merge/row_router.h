#pragma once

/// Fills RoutedRows: cuts the windows and makes the pass over the source.
///
/// Threading: one thread. Errors and memory: see routed_rows.h. Lifetime: borrows everything.

#include <cstdint>
#include <string>
#include <vector>

#include "arrow/record_batch.h"
#include "arrow/result.h"
#include "merge/routed_rows.h"

namespace floodwall {

class RowRouter {
 public:
  RowRouter(const Target& target, RowSource* source, std::vector<std::string> columns,
            RecordSorter* matches, int64_t share, RunContext* context, RoutedRows* out)
      : target_(target),
        source_(source),
        columns_(std::move(columns)),
        matches_(matches),
        share_(share),
        context_(context),
        out_(out) {}

  arrow::Status Run();

 private:
  /// A row of the gathered batches and the window that wants it.
  struct Wanted {
    int64_t row;
    int64_t window;
  };

  arrow::Status CutWindows();
  arrow::Status GroupColumns();
  arrow::Status Route(const std::vector<std::string>& columns, bool first_pass);
  arrow::Status RouteBatch(int64_t first, const arrow::RecordBatch& batch, bool first_pass);
  arrow::Status Flush();
  int64_t WindowOf(int64_t position) const;

  const Target& target_;
  RowSource* source_;
  const std::vector<std::string> columns_;
  RecordSorter* matches_;
  const int64_t share_;
  RunContext* context_;
  RoutedRows* out_;
  std::vector<std::vector<std::string>> groups_;  ///< of columns read together
  int64_t run_bytes_ = 0;
  // One pass.
  SpillRecord next_;
  bool any_next_ = false;
  arrow::RecordBatchVector gathered_;
  int64_t gathered_rows_ = 0;
  int64_t gathered_bytes_ = 0;
  std::vector<Wanted> wanted_;
  Reservation wanted_charge_;
};

}  // namespace floodwall
