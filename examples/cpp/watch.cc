// Tells what this container has left, is called when that changes, and records it to a file:
//   watch RECORDING
#include <floodwall/bytes.h>
#include <floodwall/memory_monitor.h>
#include <floodwall/memory_watch.h>
#include <floodwall/recorder.h>

#include <chrono>
#include <iostream>
#include <thread>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: watch RECORDING\n";
    return 2;
  }
  auto made = floodwall::MemoryMonitor::Make({.min_available_bytes = 64 * floodwall::kMiB});
  if (!made.ok()) {
    std::cerr << made.status().message() << "\n";
    return 1;
  }
  const std::shared_ptr<floodwall::MemoryMonitor> monitor = std::move(*made);
  std::cout << monitor->Verdict().sentence << "\n";

  auto watch = floodwall::MemoryWatch::Start(
      monitor, {.at = floodwall::MemoryPressureLevel::kCritical},
      [](const floodwall::MemoryVerdict& verdict) { std::cerr << verdict.sentence << "\n"; });
  const auto recorder = floodwall::Recorder::Create(argv[1], monitor);
  if (!watch.ok() || !recorder.ok()) return 1;
  const auto observing = (*watch)->Observe(
      [recorder = *recorder](const floodwall::MemorySample& sample) { recorder->Record(sample); });
  if (!observing.ok()) return 1;

  while ((*recorder)->recorded() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  (*watch)->Stop();
  (*recorder)->Close();
  const auto recording = floodwall::ReadRecording(argv[1]);
  if (!recording.ok()) return 1;
  std::cout << recording->records.size() << " samples recorded\n";
  return 0;
}
