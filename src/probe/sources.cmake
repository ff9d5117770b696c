# Probes of other systems are left out where their interfaces do not exist.
set(_probe_sources mapped_file.cc memory_events.cc probe.cc)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  list(APPEND _probe_sources
    kept_file.cc kernel_calls.cc kernel_text.cc source_name.cc
    linux/cgroup_hints.cc linux/cgroup_level.cc linux/cgroup_location.cc linux/cgroup_tree.cc
    linux/hint_source.cc linux/host_memory.cc
    linux/linux_probe.cc linux/memory_events.cc linux/pressure_hints.cc linux/pressure_stall.cc
    linux/self_status.cc)
endif()
floodwall_module(probe
  SOURCES ${_probe_sources}
  LINKS floodwall_base)
