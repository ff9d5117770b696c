#include "floodwall/inspection.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "errors.h"

namespace nb = nanobind;

namespace floodwall::python {

void BindInspection(nb::module_& m) {
  nb::class_<ColumnLayout>(m, "ColumnLayout")
      .def_ro("path", &ColumnLayout::path)
      .def_ro("type", &ColumnLayout::type)
      .def_ro("codecs", &ColumnLayout::codecs)
      .def_ro("compressed_bytes", &ColumnLayout::compressed_bytes)
      .def_ro("uncompressed_bytes", &ColumnLayout::uncompressed_bytes)
      .def_ro("largest_page_bytes", &ColumnLayout::largest_page_bytes)
      .def_ro("largest_dictionary_bytes", &ColumnLayout::largest_dictionary_bytes)
      .def_ro("files", &ColumnLayout::files);
  nb::class_<DatasetInspection>(m, "Inspection")
      .def_ro("recovery", &DatasetInspection::recovery)
      .def_ro("partition_columns", &DatasetInspection::partition_columns)
      .def_ro("files", &DatasetInspection::files)
      .def_ro("row_groups", &DatasetInspection::row_groups)
      .def_ro("rows", &DatasetInspection::rows)
      .def_ro("size_bytes", &DatasetInspection::size_bytes)
      .def_ro("largest_row_group_bytes", &DatasetInspection::largest_row_group_bytes)
      .def_ro("largest_row_group_rows", &DatasetInspection::largest_row_group_rows)
      .def_ro("columns", &DatasetInspection::columns)
      .def_ro("minimum_merge_bytes", &DatasetInspection::minimum_merge_bytes);
  m.def(
      "inspect",
      [](const std::string& path) {
        arrow::Result<DatasetInspection> result;
        {
          nb::gil_scoped_release release;
          result = Inspect(path);
        }
        return ValueOrThrow(std::move(result));
      },
      nb::arg("path"));
}

}  // namespace floodwall::python
