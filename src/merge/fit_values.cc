#include "merge/fit_values.h"

#include "arrow/compute/api.h"
#include "floodwall/error.h"

namespace floodwall {

arrow::Result<std::shared_ptr<arrow::Array>> FitValues(std::shared_ptr<arrow::Array> values,
                                                       const std::shared_ptr<arrow::DataType>& type,
                                                       bool nullable, const std::string& column,
                                                       arrow::MemoryPool* pool) {
  const auto refuse = [&](const std::string& why) {
    return MakeError(ErrorKind::kSchemaMismatch,
                     "source values do not fit column '" + column + "': " + why);
  };
  if (!values->type()->Equals(*type)) {
    arrow::compute::ExecContext exec(pool);
    exec.set_use_threads(false);
    auto cast = arrow::compute::Cast(*values, type, arrow::compute::CastOptions::Safe(), &exec);
    if (!cast.ok()) {
      return cast.status().IsOutOfMemory() ? cast.status() : refuse(cast.status().message());
    }
    values = std::move(*cast);
  }
  if (!nullable && values->null_count() > 0) return refuse("it is required, a value is null");
  return values;
}

}  // namespace floodwall
