floodwall_module(base
  SOURCES byte_size.cc error.cc fork_epoch.cc log_once.cc)
