floodwall_test(test_pool MODULE pool
  SOURCES unit/admission_test.cc unit/budget_test.cc unit/guarded_pool_test.cc unit/pool_stress_test.cc unit/limit_scope_test.cc unit/mapped_pool_test.cc
          unit/reclaim_test.cc unit/trim_test.cc)
