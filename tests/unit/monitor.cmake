floodwall_test(test_monitor MODULE monitor
  SOURCES support/counting_new.cc unit/memory_monitor_test.cc unit/memory_pressure_test.cc
          unit/memory_watch_test.cc unit/monitor_stress_test.cc unit/performance_monitor_test.cc
          unit/read_cache_test.cc unit/recorder_test.cc unit/sampling_policy_test.cc)
