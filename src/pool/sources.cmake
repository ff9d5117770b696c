floodwall_module(pool
  SOURCES budget.cc guarded_pool.cc
  LINKS floodwall_monitor)
