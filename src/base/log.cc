#include "base/log.h"

#include <memory>
#include <mutex>
#include <utility>

namespace floodwall {
namespace {

std::mutex g_mutex;
std::shared_ptr<const LogSink> g_sink;

}  // namespace

void SetLogSink(LogSink sink) {
  auto next = sink ? std::make_shared<const LogSink>(std::move(sink)) : nullptr;
  std::lock_guard lock(g_mutex);
  g_sink = std::move(next);
}

void Log(LogLevel level, const std::string& message) {
  std::shared_ptr<const LogSink> sink;
  {
    std::lock_guard lock(g_mutex);
    sink = g_sink;
  }
  if (sink) (*sink)(level, message);
}

}  // namespace floodwall
