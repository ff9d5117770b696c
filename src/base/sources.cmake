floodwall_module(base
  SOURCES byte_size.cc error.cc file_lock.cc fork_epoch.cc log_once.cc)
