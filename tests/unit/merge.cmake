floodwall_test(test_merge MODULE merge SOURCES unit/key_index_test.cc unit/key_schema_test.cc
                 unit/page_patcher_test.cc support/patch_case.cc)
