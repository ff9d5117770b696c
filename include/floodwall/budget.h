#pragma once

/// A budget counts bytes against a limit, for itself and for every ancestor.
///
/// Pools, key tables and encoders reserve here before they take memory; whoever is
/// denied learns who holds the rest.
///
/// Threading: every method may be called from any thread; Reserve and Release take no lock, except
/// that a Reserve about to fail waits for reclaimers. Errors: Reserve returns OutOfMemory with an
/// ErrorDetail naming requested, limit, used and holders. Units: bytes. Lifetime: shared_ptr; a
/// child keeps its parent alive, a parent does not keep its children. A budget must outlive the
/// reservations made on it, which the pools of this library take care of.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "arrow/result.h"
#include "arrow/status.h"
#include "floodwall/export.h"

namespace floodwall {

struct AdmissionQueue;

/// Counts bytes exactly: used never passes limit, not for an instant, under any number of
/// threads; and a request that does not fit never makes a smaller one fail, because the
/// check comes before the addition.
class FLOODWALL_EXPORT Budget : public std::enable_shared_from_this<Budget> {
 public:
  /// No limit of its own (its ancestors' still hold).
  static constexpr int64_t kUnlimited = -1;

  /// limit_bytes: kUnlimited or >= 0. A null parent makes a root.
  static std::shared_ptr<Budget> Make(std::string name, int64_t limit_bytes,
                                      std::shared_ptr<Budget> parent = nullptr);
  ~Budget();
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  /// Reserves in this budget and all ancestors, or in none; asks the registered reclaimers
  /// (floodwall/reclaim.h) before it fails. bytes >= 0.
  arrow::Status Reserve(int64_t bytes);
  /// As Reserve, without building an error: false when it does not fit.
  bool TryReserve(int64_t bytes) noexcept;
  /// Counts bytes that must not be refused (an encoder in flight whose worst case was
  /// checked before it began). May pass the limit; peak_bytes() then shows it.
  void ForceReserve(int64_t bytes) noexcept;
  /// Gives back what was reserved. Never fails.
  void Release(int64_t bytes) noexcept;

  /// Another limit from now on. What is held stays, even above it.
  void SetLimit(int64_t limit_bytes) noexcept;
  /// Begins again with another limit, peak_bytes() at 0: for a budget whose work is done and
  /// whose pools serve the next. False, and nothing changed, while anything is held.
  bool Restart(int64_t limit_bytes) noexcept;

  const std::string& name() const { return name_; }
  int64_t limit_bytes() const { return limit_.load(std::memory_order_relaxed); }
  int64_t used_bytes() const { return used_.load(std::memory_order_acquire); }
  /// Highest used_bytes() ever, exact.
  int64_t peak_bytes() const { return peak_.load(std::memory_order_acquire); }
  /// Bytes that fit now, here and in every ancestor; INT64_MAX when nothing limits.
  int64_t available_bytes() const noexcept;
  std::vector<std::shared_ptr<Budget>> children() const;
  const std::shared_ptr<Budget>& parent() const { return parent_; }

  /// Direct users of the tree below this budget with their bytes, largest first.
  std::vector<std::pair<std::string, int64_t>> Holders() const;
  /// The tree as indented text, one budget a line: name, used, peak, limit.
  std::string Report() const;

 private:
  friend class Admission;
  Budget(std::string name, int64_t limit_bytes, std::shared_ptr<Budget> parent);
  bool AddIfFits(int64_t bytes) noexcept;
  bool Charge(int64_t bytes) noexcept;
  arrow::Status Denied(int64_t bytes) const;

  const std::string name_;
  const std::shared_ptr<Budget> parent_;
  std::atomic<int64_t> limit_;
  // Writers of every thread meet here; peak has a line of its own (measured: 1.51x
  // against 1.24x of the upstream's cost with two threads).
  alignas(64) std::atomic<int64_t> used_{0};
  alignas(64) std::atomic<int64_t> peak_{0};
  const std::unique_ptr<AdmissionQueue> admissions_;
  mutable std::mutex children_mutex_;
  std::vector<std::weak_ptr<Budget>> children_;
};

/// Holds bytes of a budget until it is destroyed. Move-only.
/// Threading: one owner at a time.
class FLOODWALL_EXPORT Reservation {
 public:
  Reservation() = default;
  static arrow::Result<Reservation> Make(std::shared_ptr<Budget> budget, int64_t bytes);
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation();

  int64_t bytes() const { return bytes_; }
  /// Changes the held bytes; on failure the old amount stays held.
  arrow::Status Resize(int64_t bytes);

 private:
  std::shared_ptr<Budget> budget_;
  int64_t bytes_ = 0;
};

}  // namespace floodwall
