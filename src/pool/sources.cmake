floodwall_module(pool
  SOURCES budget.cc guarded_pool.cc limit_scope.cc thread_scopes.cc trim.cc
          unsafe_caller.cc
  LINKS floodwall_monitor ${CMAKE_DL_LIBS})
