#include "floodwall/reclaim.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "errors.h"
#include "floodwall/admission.h"
#include "floodwall/trim.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

/// Set at exit, before the interpreter is taken down.
std::atomic<bool> interpreter_ends{false};

/// Calls Python, with the GIL; what it raises goes to sys.unraisablehook.
int64_t Call(const nb::object& callback, int64_t bytes_wanted) {
  try {
    return nb::cast<int64_t>(callback(bytes_wanted));
  } catch (nb::python_error& error) {
    error.discard_as_unraisable(callback);
  } catch (const nb::cast_error&) {
    PyErr_SetString(PyExc_TypeError, "a reclaimer must return the bytes it freed, as an int");
    PyErr_WriteUnraisable(callback.ptr());
  }
  return 0;
}

/// One call on behalf of an allocating thread that does not hold the GIL. It waits with a
/// deadline, because it may hold what the GIL's holder waits for.
struct Request {
  const nb::object* callback;  // null once nobody waits any more
  int64_t bytes_wanted;
  bool done = false;
};

class CallQueue {
 public:
  /// Waits for the serving thread at most kReclaimPatience.
  void Ask(const nb::object& callback, int64_t bytes_wanted) {
    std::unique_lock lock(mutex_);
    if (closed_) return;
    auto request = std::make_shared<Request>(Request{&callback, bytes_wanted});
    requests_.push_back(request);
    changed_.notify_all();
    changed_.wait_for(lock, kReclaimPatience, [&] { return request->done || closed_; });
    request->callback = nullptr;
  }

  /// Serves until Close; called with the GIL by a thread of the Python layer.
  void Serve() {
    nb::gil_scoped_release release;
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return closed_ || !requests_.empty(); });
      if (closed_) return;
      auto request = requests_.front();
      requests_.pop_front();
      if (request->callback == nullptr) continue;
      lock.unlock();
      {
        nb::gil_scoped_acquire acquire;
        nb::object callback;
        {
          // The asking thread keeps the callback alive only while it waits.
          std::lock_guard again(mutex_);
          if (request->callback != nullptr) callback = *request->callback;
        }
        if (callback.is_valid()) Call(callback, request->bytes_wanted);
      }
      lock.lock();
      request->done = true;
      changed_.notify_all();
    }
  }

  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  static CallQueue* Instance() { return *Slot(); }
  /// In a forked child: the old queue's lock and thread belong to the parent.
  static void Renew() { *Slot() = new CallQueue(); }

 private:
  static CallQueue** Slot() {
    static auto* queue = new CallQueue();
    return &queue;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Request>> requests_;
  bool closed_ = false;
};

Reclaimer MakeReclaimer(nb::object callback) {
  // The last reference may go on a thread without the GIL.
  std::shared_ptr<nb::object> shared(new nb::object(std::move(callback)), [](nb::object* object) {
    if (interpreter_ends) return;  // leaked: the GIL may never come again
    nb::gil_scoped_acquire acquire;
    delete object;
  });
  return [shared](int64_t bytes_wanted) -> int64_t {
    if (interpreter_ends) return 0;
    if (PyGILState_Check() != 0) return Call(*shared, bytes_wanted);
    CallQueue::Instance()->Ask(*shared, bytes_wanted);
    return 0;  // nobody believes it anyway
  };
}

std::unique_ptr<Admission> Admit(std::shared_ptr<Budget> budget, std::string name, int64_t bytes,
                                 double timeout_s) {
  arrow::Result<std::unique_ptr<Admission>> admission;
  bool interrupted = false;
  {
    nb::gil_scoped_release release;
    const auto timeout = std::chrono::milliseconds(static_cast<int64_t>(timeout_s * 1000));
    admission = Admission::Wait(std::move(budget), std::move(name), bytes, timeout, [&] {
      nb::gil_scoped_acquire acquire;
      interrupted = PyErr_CheckSignals() != 0;
      return interrupted;
    });
  }
  if (interrupted) throw nb::python_error();
  return ValueOrThrow(std::move(admission));
}

}  // namespace

void BindReclaim(nb::module_& m) {
  m.def(
      "trim",
      [](bool force) {
        TrimResult result;
        {
          nb::gil_scoped_release release;
          result = Trim(force);
        }
        return nb::make_tuple(result.before_bytes, result.after_bytes, result.skipped);
      },
      nb::arg("force"), nb::sig("def trim(force: bool) -> tuple[int, int, bool]"));

  nb::class_<ReclaimerRegistration>(m, "ReclaimerRegistration");
  m.def(
      "register_reclaimer",
      [](nb::object callback, int priority) {
        return std::make_unique<ReclaimerRegistration>(MakeReclaimer(std::move(callback)),
                                                       priority);
      },
      nb::arg("callback"), nb::arg("priority"));
  m.def("serve_reclaimers", [] { CallQueue::Instance()->Serve(); });
  m.def("close_reclaimers", [] {
    interpreter_ends = true;
    CallQueue::Instance()->Close();
  });
  m.def("renew_reclaimers", &CallQueue::Renew);

  nb::class_<Admission>(m, "Admission").def_prop_ro("budget", &Admission::budget);
  m.def("admit", &Admit, nb::arg("budget"), nb::arg("name"), nb::arg("bytes"),
        nb::arg("timeout_s"));
}

}  // namespace floodwall::python
