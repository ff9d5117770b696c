floodwall_test(test_merge MODULE merge SOURCES fault/merge_spill_fault_test.cc support/patch_case.cc unit/index_partition_test.cc
          unit/key_index_test.cc unit/key_partitions_test.cc unit/key_ranges_test.cc
          unit/key_schema_test.cc unit/merge_plan_test.cc unit/merged_indexes_test.cc
          unit/ordinal_places_test.cc unit/page_patcher_test.cc unit/plain_values_test.cc
          unit/row_group_pruning_test.cc unit/run_context_test.cc unit/stored_decimals_test.cc)
floodwall_test(test_merge_fault MODULE merge
  SOURCES fault/merge_fault_test.cc fault/power_loss_test.cc support/merge_scenarios.cc support/recorded_disk.cc)
