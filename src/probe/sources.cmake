# What follows from a system's figures is compiled everywhere, and tested here; the calls of other
# systems are left out where their interfaces do not exist (tools/cross_check.py compiles them).
set(_probe_sources
  cpu_quota.cc darwin/darwin_figures.cc diagnosis.cc memory_events.cc probe.cc windows/windows_figures.cc)
if(NOT WIN32)
  list(APPEND _probe_sources mapped_file.cc)
endif()
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  list(APPEND _probe_sources
    kept_file.cc kernel_calls.cc kernel_text.cc source_name.cc
    linux/cgroup_hints.cc linux/cgroup_level.cc linux/cgroup_location.cc linux/cgroup_tree.cc
    linux/cpu_quota_reader.cc linux/hint_source.cc linux/host_memory.cc linux/linux_diagnosis.cc
    linux/linux_probe.cc linux/memory_events.cc linux/pressure_hints.cc linux/pressure_stall.cc
    linux/self_status.cc linux/traced_calls.cc)
elseif(APPLE)
  list(APPEND _probe_sources darwin/darwin_probe.cc)
elseif(WIN32)
  list(APPEND _probe_sources windows/windows_probe.cc)
endif()
floodwall_module(probe
  SOURCES ${_probe_sources}
  LINKS floodwall_base)
