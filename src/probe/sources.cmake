# Probes of other systems are left out where their interfaces do not exist.
set(_probe_sources probe.cc)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  list(APPEND _probe_sources
    kept_file.cc kernel_calls.cc kernel_text.cc source_name.cc
    linux/cgroup_level.cc linux/cgroup_location.cc linux/cgroup_tree.cc linux/host_memory.cc
    linux/linux_probe.cc linux/pressure_stall.cc linux/self_status.cc)
endif()
floodwall_module(probe
  SOURCES ${_probe_sources}
  LINKS floodwall_base)
