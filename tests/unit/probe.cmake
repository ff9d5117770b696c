floodwall_test(test_probe MODULE probe
  SOURCES support/memory_trees.cc unit/cgroup_location_test.cc unit/container_layouts_test.cc
          unit/cpu_quota_test.cc unit/diagnosis_test.cc unit/failure_rule_test.cc
          unit/kept_file_test.cc unit/kernel_text_test.cc unit/linux_probe_test.cc
          unit/memory_events_test.cc unit/other_systems_test.cc)
