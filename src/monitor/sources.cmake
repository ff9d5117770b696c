floodwall_module(monitor
  SOURCES memory_monitor.cc memory_snapshot.cc performance_monitor.cc read_cache.cc
  LINKS floodwall_probe)
