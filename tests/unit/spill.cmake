floodwall_test(test_spill MODULE spill
  SOURCES unit/record_sorter_test.cc unit/row_spill_test.cc unit/spill_directory_test.cc
          unit/spill_streams_test.cc fault/spill_fault_test.cc)
