floodwall_module(monitor
  SOURCES memory_monitor.cc memory_snapshot.cc memory_verdict.cc memory_watch.cc
          performance_monitor.cc read_cache.cc recorder.cc recording_format.cc
          sampling_policy.cc system_cache.cc
  LINKS floodwall_probe)
