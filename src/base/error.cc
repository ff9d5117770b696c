#include "floodwall/error.h"

#include <cstring>
#include <string_view>

namespace floodwall {
namespace {

constexpr char kTypeId[] = "floodwall::ErrorDetail";

arrow::StatusCode CodeOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kMemoryLimitExceeded:
    case ErrorKind::kMemoryLimitTooSmall: return arrow::StatusCode::OutOfMemory;
    case ErrorKind::kSpill:
    case ErrorKind::kCommit: return arrow::StatusCode::IOError;
    case ErrorKind::kCancelled: return arrow::StatusCode::Cancelled;
    case ErrorKind::kConflict: return arrow::StatusCode::ExecutionError;
    default: return arrow::StatusCode::Invalid;
  }
}

const char* NameOf(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kMemoryLimitExceeded: return "memory limit exceeded";
    case ErrorKind::kMemoryLimitTooSmall: return "memory limit too small";
    case ErrorKind::kDuplicateKey: return "duplicate key";
    case ErrorKind::kPartitionMove: return "partition move";
    case ErrorKind::kSchemaMismatch: return "schema mismatch";
    case ErrorKind::kUnsupportedFile: return "unsupported file";
    case ErrorKind::kInvalidMerge: return "invalid merge";
    case ErrorKind::kConflict: return "conflict";
    case ErrorKind::kSpill: return "spill";
    case ErrorKind::kCommit: return "commit";
    case ErrorKind::kCancelled: return "cancelled";
  }
  return "unknown";
}

}  // namespace

const char* ErrorDetail::type_id() const { return kTypeId; }

std::string ErrorDetail::ToString() const { return NameOf(kind); }

const ErrorDetail* ErrorDetail::From(const arrow::Status& status) {
  if (status.ok() || status.detail() == nullptr) return nullptr;
  // By text of the id, not by address: two copies of the library may meet in one process.
  if (std::string_view(status.detail()->type_id()) != kTypeId) return nullptr;
  return static_cast<const ErrorDetail*>(status.detail().get());
}

arrow::Status MakeError(std::shared_ptr<ErrorDetail> detail, std::string message) {
  const arrow::StatusCode code = CodeOf(detail->kind);
  return arrow::Status(code, std::move(message), std::move(detail));
}

arrow::Status MakeError(ErrorKind kind, std::string message) {
  return MakeError(std::make_shared<ErrorDetail>(kind), std::move(message));
}

arrow::Status MakeOsError(ErrorKind kind, int os_error, const std::string& what,
                          const std::string& path) {
  auto detail = std::make_shared<ErrorDetail>(kind);
  detail->os_error = os_error;
  return MakeError(std::move(detail), what + ": " + std::strerror(os_error) + ": '" + path + "'");
}

}  // namespace floodwall
