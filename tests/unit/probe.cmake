floodwall_test(test_probe MODULE probe
  SOURCES unit/cgroup_location_test.cc unit/kept_file_test.cc unit/kernel_text_test.cc
          unit/linux_probe_test.cc)
