floodwall_module(pool
  SOURCES budget.cc guarded_pool.cc trim.cc
  LINKS floodwall_monitor)
