#pragma once

/// Facts that travel with an arrow::Status, found by type and never by text.
///
/// Every floodwall function reports failure as arrow::Status; what a caller may want to
/// act on (how much was asked, who holds the rest, which key was duplicated) rides along
/// as an ErrorDetail. The Python layer turns the kind into an exception class.
///
/// Threading: immutable values. Lifetime: shared with the Status.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arrow/status.h"
#include "floodwall/export.h"

namespace floodwall {

enum class ErrorKind {
  kMemoryLimitExceeded,  ///< an allocation or reservation would pass a limit
  kMemoryLimitTooSmall,  ///< refused before work: minimum_bytes is needed
  kDuplicateKey,         ///< duplicate keys where the policy forbids them
  kPartitionMove,        ///< rows would change their partition where the policy forbids it
  kSchemaMismatch,       ///< source and target columns do not fit together
  kUnsupportedFile,      ///< encrypted, corrupt or otherwise not readable here
  kInvalidMerge,         ///< arguments that contradict each other or the dataset
  kConflict,             ///< another writer holds or changed the dataset
  kSpill,                ///< spill storage failed
  kCommit,               ///< staging, journal or publication failed
  kCancelled,            ///< the caller asked to stop
};

/// Carries the facts of one failure.
class FLOODWALL_EXPORT ErrorDetail : public arrow::StatusDetail {
 public:
  explicit ErrorDetail(ErrorKind error_kind) : kind(error_kind) {}

  const char* type_id() const override;
  std::string ToString() const override;

  /// The detail of `status`, or null when it has none or another library's.
  static const ErrorDetail* From(const arrow::Status& status);

  ErrorKind kind;
  // Memory limits, in bytes; -1 when it does not apply.
  int64_t requested_bytes = -1;
  int64_t limit_bytes = -1;
  int64_t used_bytes = -1;
  int64_t minimum_bytes = -1;
  /// Who holds what, largest first.
  std::vector<std::pair<std::string, int64_t>> holders;
  /// Up to ten example keys or values, printed.
  std::vector<std::string> examples;
  /// errno of the operating system call, 0 when none.
  int os_error = 0;
};

/// Builds a Status of the code that fits `kind`, carrying a detail of that kind.
FLOODWALL_EXPORT arrow::Status MakeError(ErrorKind kind, std::string message);
FLOODWALL_EXPORT arrow::Status MakeError(std::shared_ptr<ErrorDetail> detail, std::string message);

/// Status for a failed system call: "<what>: <strerror>: '<path>'", os_error set.
FLOODWALL_EXPORT arrow::Status MakeOsError(ErrorKind kind, int os_error, const std::string& what,
                                           const std::string& path);

}  // namespace floodwall
