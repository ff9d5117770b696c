floodwall_test(test_base MODULE base
  SOURCES unit/byte_size_test.cc unit/error_test.cc unit/log_once_test.cc)
