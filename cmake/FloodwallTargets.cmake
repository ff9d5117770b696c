# floodwall_module(name SOURCES ... LINKS ...): one module of src/ as a static library, never
# installed: libfloodwall.so is made of all their objects, a test links just what it tests.
#
# A module sees its own headers and, through LINKS, the modules to its right in
#   merge -> dataset -> spill -> pool -> monitor -> probe -> base
# tools/check_includes.py checks the same order on the text of the includes.
function(floodwall_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  set(target floodwall_${name})
  list(TRANSFORM ARG_SOURCES PREPEND "${PROJECT_SOURCE_DIR}/src/${name}/")
  add_library(${target} STATIC ${ARG_SOURCES})
  target_include_directories(${target} PUBLIC
    "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(${target} PUBLIC Arrow::arrow_shared Threads::Threads ${ARG_LINKS})
  set_target_properties(${target} PROPERTIES
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  floodwall_warnings(${target})
endfunction()

function(floodwall_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC 12 warns about a literal plus a string when it optimises (GCC bug 105651).
    target_compile_options(${target} PRIVATE -Wno-restrict)
  endif()
  if(FLOODWALL_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()

# floodwall_test(name MODULE module SOURCES ...): one GTest program over a module's own objects,
# so that tests see private headers without exporting their symbols.
function(floodwall_test name)
  cmake_parse_arguments(ARG "" "MODULE" "SOURCES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE floodwall_${ARG_MODULE} GTest::gtest GTest::gtest_main)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  # Tests repeat each other's short names.
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  floodwall_warnings(${name})
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300)
endfunction()
