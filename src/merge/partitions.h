#pragma once

/// Hive partitions: directories named `column=value` below the root of a dataset, whose columns are
/// in no file. Values are typed by the source's column, URL-encoded in the names, and a null is
/// `__HIVE_DEFAULT_PARTITION__`.
///
/// Threading: read from any thread once Assign is done. Errors: kUnsupportedFile for a layout that
/// is not uniform, kSchemaMismatch for values that do not fit the source's type, kInvalidMerge for
/// partition_columns that contradict the target. Memory: a few hundred bytes a partition, charged
/// to the index pool's budget. Lifetime: values.

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "arrow/array.h"
#include "arrow/result.h"
#include "arrow/scalar.h"
#include "arrow/type.h"
#include "dataset/listing.h"
#include "merge/key_encoder.h"
#include "merge/run_context.h"

namespace floodwall {

class Partitions {
 public:
  /// The partitions of the files of a listing; options.partition_columns for a missing target.
  static arrow::Result<Partitions> Of(const DatasetListing& listing, const arrow::Schema& source,
                                      RunContext* context);

  /// Names in the order of the directories; empty: not partitioned.
  const std::vector<std::string>& columns() const { return columns_; }
  /// Position in columns(), or -1.
  int IndexOf(const std::string& name) const;
  const std::shared_ptr<arrow::DataType>& type(int column) const {
    return types_[static_cast<size_t>(column)];
  }
  /// The partition of a file of the listing; equal values are one partition.
  int32_t OfFile(size_t file) const { return file_partitions_[file]; }
  /// Where new files of a partition go, relative to the root; empty: the root.
  const std::string& directory(int32_t partition) const {
    return directories_[static_cast<size_t>(partition)];
  }
  const std::shared_ptr<arrow::Scalar>& value(int32_t partition, int column) const {
    return values_[static_cast<size_t>(partition)][static_cast<size_t>(column)];
  }

  /// The partitions of rows given as columns(), made when they are new.
  arrow::Status Assign(const std::vector<std::shared_ptr<arrow::Array>>& columns, int32_t* out,
                       RunContext* context);

 private:
  using Values = std::vector<std::shared_ptr<arrow::Scalar>>;
  arrow::Status ReadLayout(const DatasetListing& listing);
  arrow::Status SetTypes(const arrow::Schema& source);
  /// The id of the partition with these values (one row), made when new.
  arrow::Result<int32_t> Find(Values values, const std::string* directory, RunContext* context);
  arrow::Result<std::string> MakeDirectory(const Values& values) const;

  std::vector<std::string> columns_;
  std::vector<std::shared_ptr<arrow::DataType>> types_;
  std::shared_ptr<KeySchema> schema_;
  std::vector<std::vector<std::string>> texts_;  ///< of each file, as in its path
  std::vector<int32_t> file_partitions_;
  std::vector<std::string> directories_;
  std::vector<Values> values_;
  std::unordered_map<std::string, int32_t> ids_;  ///< canonical bytes of the values
  std::shared_ptr<Reservation> charge_;
};

/// URL-encoding of names and values in directories: all but letters, digits and "-_.~".
std::string EncodePathText(const std::string& text);
/// The reverse; a percent sign that starts no code stands for itself.
std::string DecodePathText(const std::string& text);

}  // namespace floodwall
