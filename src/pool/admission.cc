#include "floodwall/admission.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "pool/admission_queue.h"

namespace floodwall {
namespace {

using Clock = std::chrono::steady_clock;

/// How often a wait looks at memory that is not an admission's: its release wakes nobody.
constexpr std::chrono::milliseconds kLook{20};

/// What is promised to the admitted, and what others use of the budget besides.
int64_t Spoken(const Budget& budget, const AdmissionQueue& queue) {
  int64_t promised = 0;
  int64_t used_of_it = 0;
  for (const auto& admitted : queue.admitted) {
    promised += admitted->limit_bytes();
    used_of_it += admitted->used_bytes();
  }
  return promised + std::max<int64_t>(0, budget.used_bytes() - used_of_it);
}

/// What fits into the budget, whoever above it has taken the rest.
int64_t Room(const Budget& budget) {
  int64_t room = budget.limit_bytes();
  for (auto above = budget.parent(); above; above = above->parent()) {
    const int64_t limit = above->limit_bytes();
    if (limit == Budget::kUnlimited) continue;
    const int64_t left = limit - above->used_bytes() + budget.used_bytes();
    room = room == Budget::kUnlimited ? left : std::min(room, left);
  }
  return room;
}

arrow::Status TimeIsUp(const Budget& budget, const AdmissionQueue& queue, const std::string& name,
                       int64_t need, std::chrono::milliseconds timeout) {
  auto detail = std::make_shared<ErrorDetail>(ErrorKind::kMemoryLimitExceeded);
  detail->requested_bytes = need;
  detail->limit_bytes = Room(budget);
  detail->used_bytes = Spoken(budget, queue);
  int64_t named = 0;
  for (const auto& admitted : queue.admitted) {
    detail->holders.emplace_back(admitted->name(), admitted->limit_bytes());
    named += admitted->limit_bytes();
  }
  if (detail->used_bytes > named) {
    detail->holders.emplace_back("(not admitted)", detail->used_bytes - named);
  }
  std::stable_sort(detail->holders.begin(), detail->holders.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::ostringstream message;
  message << "not admitted in time: '" << name << "' needs " << FormatBytes(need) << ", limit "
          << FormatBytes(detail->limit_bytes) << ", spoken for " << FormatBytes(detail->used_bytes);
  for (size_t i = 0; i < detail->holders.size(); ++i) {
    message << (i == 0 ? " (" : ", ") << detail->holders[i].first << " "
            << FormatBytes(detail->holders[i].second);
  }
  if (!detail->holders.empty()) message << ")";
  message << ", waited " << static_cast<double>(timeout.count()) / 1000 << " s";
  return MakeError(std::move(detail), message.str());
}

}  // namespace

Admission::Admission(std::shared_ptr<Budget> shared, std::shared_ptr<Budget> own)
    : shared_(std::move(shared)), budget_(std::move(own)) {}

Admission::~Admission() {
  AdmissionQueue& queue = *shared_->admissions_;
  {
    std::lock_guard lock(queue.mutex);
    std::erase(queue.admitted, budget_);
  }
  queue.changed.notify_all();
}

arrow::Result<std::unique_ptr<Admission>> Admission::Wait(std::shared_ptr<Budget> budget,
                                                          std::string name, int64_t need_bytes,
                                                          std::chrono::milliseconds timeout,
                                                          const std::function<bool()>& cancelled) {
  if (need_bytes < 0) return arrow::Status::Invalid("negative need: ", need_bytes);
  int64_t largest = Budget::kUnlimited;
  for (const Budget* at = budget.get(); at != nullptr; at = at->parent().get()) {
    if (at->limit_bytes() == Budget::kUnlimited) continue;
    largest =
        largest == Budget::kUnlimited ? at->limit_bytes() : std::min(largest, at->limit_bytes());
  }
  if (largest != Budget::kUnlimited && need_bytes > largest) {
    auto detail = std::make_shared<ErrorDetail>(ErrorKind::kMemoryLimitTooSmall);
    detail->requested_bytes = need_bytes;
    detail->limit_bytes = largest;
    detail->minimum_bytes = need_bytes;
    return MakeError(std::move(detail), "memory limit too small: '" + name + "' needs " +
                                            FormatBytes(need_bytes) + ", limit " +
                                            FormatBytes(largest));
  }
  AdmissionQueue& queue = *budget->admissions_;
  const auto deadline = Clock::now() + timeout;
  std::unique_lock lock(queue.mutex);
  const int64_t ticket = queue.next_ticket++;
  queue.waiting.push_back(ticket);
  arrow::Status failed;
  while (true) {
    const int64_t room = Room(*budget);
    // Only the first in the queue may take what is free: small needs do not starve a large one.
    if (queue.waiting.front() == ticket &&
        (room == Budget::kUnlimited || need_bytes <= room - Spoken(*budget, queue))) {
      break;
    }
    const auto now = Clock::now();
    if (now >= deadline) {
      failed = TimeIsUp(*budget, queue, name, need_bytes, timeout);
      break;
    }
    if (cancelled) {
      lock.unlock();  // a callback never runs under a lock
      const bool stop = cancelled();
      lock.lock();
      if (stop) {
        failed = arrow::Status::Cancelled("the wait of '", name, "' was cancelled");
        break;
      }
    }
    queue.changed.wait_until(lock, std::min(deadline, now + kLook));
  }
  std::erase(queue.waiting, ticket);
  std::unique_ptr<Admission> out;
  if (failed.ok()) {
    auto own = Budget::Make(std::move(name), need_bytes, budget);
    queue.admitted.push_back(own);
    out.reset(new Admission(std::move(budget), std::move(own)));
  }
  lock.unlock();
  queue.changed.notify_all();
  if (!failed.ok()) return failed;
  return out;
}

}  // namespace floodwall
