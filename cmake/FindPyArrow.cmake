# Finds libarrow, libarrow_compute and libparquet inside an installed pyarrow wheel.
#
# The wheel ships neither CMake package nor unversioned libraries, so the versioned
# files (libarrow.so.2600) become IMPORTED targets under Arrow's official names:
#   Arrow::arrow_shared  ArrowCompute::arrow_compute_shared  Parquet::parquet_shared
# Sets PyArrow_FOUND, PyArrow_DIR (the pyarrow package directory), PyArrow_VERSION.
# Input: PyArrow_ROOT (a pyarrow package directory), else asked of Python.

if(NOT PyArrow_DIR AND PyArrow_ROOT)
  set(PyArrow_DIR "${PyArrow_ROOT}")
endif()
if(NOT PyArrow_DIR OR NOT EXISTS "${PyArrow_DIR}/include/arrow/api.h")
  if(NOT Python_EXECUTABLE)
    find_package(Python 3.11 COMPONENTS Interpreter QUIET)
  endif()
  if(Python_EXECUTABLE)
    # find_spec does not import pyarrow: cheap, and it works in a build sandbox.
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c
        "import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('pyarrow').origin), end='')"
      OUTPUT_VARIABLE PyArrow_DIR ERROR_QUIET)
  endif()
endif()

if(PyArrow_DIR AND EXISTS "${PyArrow_DIR}/include/arrow/util/config.h")
  file(STRINGS "${PyArrow_DIR}/include/arrow/util/config.h" _line
       REGEX "define ARROW_VERSION_STRING")
  string(REGEX REPLACE ".*\"([0-9.]+)[^\"]*\".*" "\\1" PyArrow_VERSION "${_line}")
  string(REGEX REPLACE "^([0-9]+)\\.([0-9]+).*" "\\1" _major "${PyArrow_VERSION}")
  string(REGEX REPLACE "^([0-9]+)\\.([0-9]+).*" "\\2" _minor "${PyArrow_VERSION}")
  math(EXPR _soversion "${_major} * 100 + ${_minor}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PyArrow
  REQUIRED_VARS PyArrow_DIR PyArrow_VERSION VERSION_VAR PyArrow_VERSION HANDLE_VERSION_RANGE
  REASON_FAILURE_MESSAGE "install it (pip install 'pyarrow>=26.0,<26.1') or set PyArrow_ROOT to its package directory")

if(PyArrow_FOUND AND NOT TARGET Arrow::arrow_shared)
  function(_pyarrow_library target file)
    add_library(${target} SHARED IMPORTED)
    set_target_properties(${target} PROPERTIES
      IMPORTED_LOCATION "${PyArrow_DIR}/${file}.so.${_soversion}"
      INTERFACE_INCLUDE_DIRECTORIES "${PyArrow_DIR}/include"
      INTERFACE_COMPILE_FEATURES cxx_std_20)
  endfunction()
  _pyarrow_library(Arrow::arrow_shared libarrow)
  _pyarrow_library(ArrowCompute::arrow_compute_shared libarrow_compute)
  set_property(TARGET ArrowCompute::arrow_compute_shared PROPERTY
    INTERFACE_LINK_LIBRARIES Arrow::arrow_shared)
  _pyarrow_library(Parquet::parquet_shared libparquet)
  set_property(TARGET Parquet::parquet_shared PROPERTY
    INTERFACE_LINK_LIBRARIES Arrow::arrow_shared)
endif()
