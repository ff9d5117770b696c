#include "merge/key_examples.h"

#include <algorithm>
#include <utility>

#include "floodwall/error.h"
#include "merge/key_encoder.h"
#include "merge/target_matching.h"

namespace floodwall {

arrow::Result<std::vector<std::string>> PrintSourceKeys(const KeySchema& schema, RowSource* source,
                                                        const std::vector<int64_t>& ordinals,
                                                        RunContext* context) {
  std::vector<std::string> out;
  for (const int64_t ordinal : ordinals) {
    ARROW_RETURN_NOT_OK(source->ReadRows(context->options.key_columns, ordinal, ordinal + 1,
                                         [&](int64_t, const arrow::RecordBatch& batch) {
                                           out.push_back(PrintKey(schema, batch.columns(), 0));
                                           return arrow::Status::OK();
                                         }));
  }
  return out;
}

arrow::Result<std::vector<std::string>> PrintTargetKeys(const KeySchema& schema,
                                                        const Target& target,
                                                        const std::vector<int64_t>& positions,
                                                        RunContext* context) {
  std::vector<std::string> out;
  for (const TargetFile& file : target.files()) {
    for (size_t g = 0; g < file.row_groups.size(); ++g) {
      int64_t first = file.row_groups[g].first_row;
      const int64_t end = first + file.row_groups[g].num_rows;
      const bool any = std::any_of(positions.begin(), positions.end(),
                                   [&](int64_t row) { return row >= first && row < end; });
      if (!any) continue;
      ARROW_ASSIGN_OR_RAISE(auto opened, ParquetSource::Open(target.AbsolutePath(file),
                                                             context->read_pool->budget()));
      const auto print = [&](const arrow::RecordBatch& batch) {
        for (const int64_t row : positions) {
          if (row < first || row >= first + batch.num_rows()) continue;
          out.push_back(PrintKey(schema, batch.columns(), row - first));
        }
        first += batch.num_rows();
        return arrow::Status::OK();
      };
      ARROW_RETURN_NOT_OK(ReadKeys(target, file, opened, static_cast<int>(g), {}, context, print));
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

arrow::Status DuplicateKeys(const std::string& what, std::vector<std::string> examples) {
  auto detail = std::make_shared<ErrorDetail>(ErrorKind::kDuplicateKey);
  std::string message = what;
  if (!examples.empty()) message += ", such as " + examples.front();
  detail->examples = std::move(examples);
  return MakeError(std::move(detail), std::move(message));
}

arrow::Status RowsWouldMove(int64_t rows, std::vector<std::string> examples) {
  auto detail = std::make_shared<ErrorDetail>(ErrorKind::kPartitionMove);
  const std::string message =
      "partition column values cannot change for existing keys: " + std::to_string(rows) +
      " rows would move to another partition, such as " + examples.front();
  detail->examples = std::move(examples);
  return MakeError(std::move(detail), message);
}

}  // namespace floodwall
