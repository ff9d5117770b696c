floodwall_module(spill
  SOURCES record_sorter.cc row_spill.cc spill_calls.cc spill_directory.cc spill_streams.cc
  LINKS floodwall_pool)
