#pragma once

/// The partitions of the source's rows, and the target files that its keys can reach at all.
///
/// Threading: made by one thread, read by many. Errors: kSchemaMismatch where a strategy that adds
/// rows lacks a partition column. Memory: 4 bytes a source row from the index pool, and a set of
/// the distinct partition values of the keys.

#include <cstdint>
#include <memory>
#include <vector>

#include "arrow/buffer.h"
#include "arrow/result.h"
#include "merge/row_source.h"
#include "merge/target.h"

namespace floodwall {

class SourcePartitions {
 public:
  /// New partitions of the source are added to the target's.
  static arrow::Result<SourcePartitions> Read(RowSource* source, Target* target,
                                              RunContext* context);

  /// Whether the source says which partition its rows belong to.
  bool known() const { return ids_ != nullptr; }
  /// Partition of a source row; 0 where the target is not partitioned.
  int32_t Of(int64_t ordinal) const {
    return ids_ ? reinterpret_cast<const int32_t*>(ids_->data())[ordinal] : 0;
  }
  /// Whether some source key has the partition values of the file.
  bool Reaches(size_t file) const { return reaches_.empty() || reaches_[file]; }

 private:
  std::shared_ptr<arrow::Buffer> ids_;
  std::vector<bool> reaches_;
};

}  // namespace floodwall
