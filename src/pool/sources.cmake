floodwall_module(pool
  SOURCES admission.cc budget.cc guarded_pool.cc limit_scope.cc reclaim.cc thread_scopes.cc trim.cc
          unsafe_caller.cc
  LINKS floodwall_monitor ${CMAKE_DL_LIBS})
