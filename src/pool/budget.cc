#include "floodwall/budget.h"

#include <algorithm>
#include <limits>
#include <sstream>

#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "floodwall/reclaim.h"
#include "pool/admission_queue.h"
#include "pool/high_water_mark.h"

namespace floodwall {

std::shared_ptr<Budget> Budget::Make(std::string name, int64_t limit_bytes,
                                     std::shared_ptr<Budget> parent) {
  auto budget = std::shared_ptr<Budget>(new Budget(std::move(name), limit_bytes, parent));
  if (parent) {
    std::lock_guard lock(parent->children_mutex_);
    std::erase_if(parent->children_, [](const auto& child) { return child.expired(); });
    parent->children_.push_back(budget);
  }
  return budget;
}

Budget::Budget(std::string name, int64_t limit_bytes, std::shared_ptr<Budget> parent)
    : name_(std::move(name)),
      parent_(std::move(parent)),
      limit_(limit_bytes),
      admissions_(std::make_unique<AdmissionQueue>()) {}

Budget::~Budget() = default;

bool Budget::AddIfFits(int64_t bytes) noexcept {
  const int64_t limit = limit_bytes();
  int64_t used = used_.load(std::memory_order_relaxed);
  do {
    // Checked before it is added: a request too large for the limit never appears in `used`,
    // so it cannot make another thread's small one fail.
    if (limit != kUnlimited && (used > limit || bytes > limit - used)) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_acq_rel,
                                        std::memory_order_relaxed));
  RaiseHighWaterMark(&peak_, used + bytes);
  return true;
}

bool Budget::Charge(int64_t bytes) noexcept {
  // Charged from here up to the root and discharged from the root down: an ancestor then never
  // counts bytes that a descendant has refused or has already given to another request, so
  // siblings whose limits fit into the parent's cannot deny each other.
  if (!AddIfFits(bytes)) return false;
  if (!parent_ || parent_->Charge(bytes)) return true;
  used_.fetch_sub(bytes, std::memory_order_acq_rel);
  return false;
}

bool Budget::TryReserve(int64_t bytes) noexcept {
  if (bytes <= 0) return true;
  // Look before adding: a request that an ancestor refuses anyway must not show here, where it
  // could make somebody else's fail for an instant.
  return bytes <= available_bytes() && Charge(bytes);
}

arrow::Status Budget::Reserve(int64_t bytes) {
  if (bytes < 0) return arrow::Status::Invalid("negative reservation: ", bytes);
  const auto fits = [this, bytes] { return TryReserve(bytes); };
  if (fits() || Reclaim(bytes, fits)) return arrow::Status::OK();
  return Denied(bytes);
}

void Budget::ForceReserve(int64_t bytes) noexcept {
  for (Budget* budget = this; budget != nullptr; budget = budget->parent_.get()) {
    const int64_t used = budget->used_.fetch_add(bytes, std::memory_order_acq_rel) + bytes;
    RaiseHighWaterMark(&budget->peak_, used);
  }
}

void Budget::Release(int64_t bytes) noexcept {
  if (parent_) parent_->Release(bytes);
  used_.fetch_sub(bytes, std::memory_order_acq_rel);
}

void Budget::SetLimit(int64_t limit_bytes) noexcept {
  limit_.store(limit_bytes, std::memory_order_relaxed);
}

bool Budget::Restart(int64_t limit_bytes) noexcept {
  if (used_bytes() != 0) return false;
  limit_.store(limit_bytes, std::memory_order_relaxed);
  peak_.store(0, std::memory_order_release);
  return true;
}

int64_t Budget::available_bytes() const noexcept {
  int64_t available = std::numeric_limits<int64_t>::max();
  for (const Budget* budget = this; budget != nullptr; budget = budget->parent_.get()) {
    const int64_t limit = budget->limit_bytes();
    if (limit == kUnlimited) continue;
    available = std::min(available, std::max<int64_t>(0, limit - budget->used_bytes()));
  }
  return available;
}

std::vector<std::shared_ptr<Budget>> Budget::children() const {
  std::vector<std::shared_ptr<Budget>> out;
  std::lock_guard lock(children_mutex_);
  for (const auto& weak : children_) {
    if (auto child = weak.lock()) out.push_back(std::move(child));
  }
  return out;
}

std::vector<std::pair<std::string, int64_t>> Budget::Holders() const {
  std::vector<std::pair<std::string, int64_t>> out;
  int64_t in_children = 0;
  for (const auto& child : children()) {
    const int64_t used = child->used_bytes();
    in_children += used;
    if (used > 0) out.emplace_back(child->name(), used);
  }
  // What this budget holds itself, beside its children.
  const int64_t own = used_bytes() - in_children;
  if (own > 0) out.emplace_back(name_.empty() ? "(unnamed)" : name_, own);
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return out;
}

arrow::Status Budget::Denied(int64_t bytes) const {
  // The budget that said no: the outermost one whose limit the request passes.
  const Budget* refusing = this;
  for (const Budget* budget = this; budget != nullptr; budget = budget->parent_.get()) {
    const int64_t limit = budget->limit_bytes();
    if (limit != kUnlimited && budget->used_bytes() + bytes > limit) refusing = budget;
  }
  auto detail = std::make_shared<ErrorDetail>(ErrorKind::kMemoryLimitExceeded);
  detail->requested_bytes = bytes;
  detail->limit_bytes = refusing->limit_bytes();
  detail->used_bytes = refusing->used_bytes();
  detail->holders = refusing->Holders();
  std::ostringstream message;
  message << "memory limit exceeded: requested " << FormatBytes(bytes) << ", limit "
          << FormatBytes(detail->limit_bytes) << ", used " << FormatBytes(detail->used_bytes);
  if (!refusing->name().empty()) message << " in '" << refusing->name() << "'";
  if (!detail->holders.empty()) {
    message << " (";
    for (size_t i = 0; i < detail->holders.size(); ++i) {
      message << (i == 0 ? "" : ", ") << detail->holders[i].first << " "
              << FormatBytes(detail->holders[i].second);
    }
    message << ")";
  }
  return MakeError(std::move(detail), message.str());
}

namespace {

void AppendReport(const Budget& budget, int depth, std::string* out) {
  const std::string name = budget.name().empty() ? "(unnamed)" : budget.name();
  out->append(static_cast<size_t>(2 * depth), ' ');
  *out +=
      name + ": used " + FormatBytes(budget.used_bytes()) + ", peak " +
      FormatBytes(budget.peak_bytes()) + ", limit " +
      (budget.limit_bytes() == Budget::kUnlimited ? "none" : FormatBytes(budget.limit_bytes())) +
      "\n";
  for (const auto& child : budget.children()) AppendReport(*child, depth + 1, out);
}

}  // namespace

std::string Budget::Report() const {
  std::string out;
  AppendReport(*this, 0, &out);
  return out;
}

arrow::Result<Reservation> Reservation::Make(std::shared_ptr<Budget> budget, int64_t bytes) {
  Reservation reservation;
  reservation.budget_ = std::move(budget);
  ARROW_RETURN_NOT_OK(reservation.Resize(bytes));
  return reservation;
}

Reservation::Reservation(Reservation&& other) noexcept
    : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    if (budget_) budget_->Release(bytes_);
    budget_ = std::move(other.budget_);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

Reservation::~Reservation() {
  if (budget_) budget_->Release(bytes_);
}

arrow::Status Reservation::Resize(int64_t bytes) {
  if (!budget_) return arrow::Status::Invalid("reservation without a budget");
  if (bytes > bytes_) {
    ARROW_RETURN_NOT_OK(budget_->Reserve(bytes - bytes_));
  } else {
    budget_->Release(bytes_ - bytes);
  }
  bytes_ = bytes;
  return arrow::Status::OK();
}

}  // namespace floodwall
