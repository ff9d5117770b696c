floodwall_test(test_monitor MODULE monitor
  SOURCES unit/memory_monitor_test.cc unit/memory_pressure_test.cc
          unit/performance_monitor_test.cc unit/read_cache_test.cc)
