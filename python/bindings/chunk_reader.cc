#include "floodwall/chunk_reader.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "arrow/table.h"
#include "arrow_stream.h"
#include "errors.h"

namespace nb = nanobind;

namespace floodwall::python {
namespace {

ChunkFile MakeFile(std::string path, std::optional<std::vector<int>> row_groups,
                   nb::handle constants) {
  ChunkFile file;
  file.path = std::move(path);
  file.all_row_groups = !row_groups.has_value();
  if (row_groups) file.row_groups = std::move(*row_groups);
  if (!constants.is_none()) {
    auto reader = ValueOrThrow(ImportStream(constants));
    ThrowStatus(reader->ReadNext(&file.constants));
  }
  return file;
}

/// A table as a stream capsule, None for none.
nb::object ExportTable(std::shared_ptr<arrow::Table> table) {
  if (!table) return nb::none();
  return ExportStream(std::make_shared<arrow::TableBatchReader>(std::move(table)));
}

nb::object Next(ChunkReader& reader, int64_t rows) {
  arrow::Result<std::shared_ptr<arrow::Table>> table;
  {
    nb::gil_scoped_release release;
    table = reader.Next(rows);
  }
  return ExportTable(ValueOrThrow(std::move(table)));
}

int64_t CountRows(ChunkReader& reader) {
  arrow::Result<int64_t> rows;
  {
    nb::gil_scoped_release release;
    rows = reader.CountRows();
  }
  return ValueOrThrow(std::move(rows));
}

}  // namespace

void BindChunkReader(nb::module_& m) {
  nb::class_<ChunkFile>(m, "ChunkFile")
      .def_static("make", &MakeFile, nb::arg("path"), nb::arg("row_groups").none(),
                  nb::arg("constants").none());
  nb::class_<ChunkReader>(m, "ChunkReader")
      .def_static(
          "make",
          [](std::vector<ChunkFile> files, nb::handle schema, GuardedPool* pool, int64_t piece_rows,
             bool use_threads) {
            ChunkReaderOptions options;
            options.schema = ValueOrThrow(ImportSchemaOf(schema));
            options.pool = pool;
            options.piece_rows = piece_rows;
            options.use_threads = use_threads;
            return ValueOrThrow(ChunkReader::Make(std::move(files), std::move(options)));
          },
          nb::arg("files"), nb::arg("schema"), nb::arg("pool"), nb::arg("piece_rows"),
          nb::arg("use_threads"))
      .def("next", &Next, nb::arg("rows"))
      .def("take_gathered",
           [](ChunkReader& reader) { return ExportTable(ValueOrThrow(reader.TakeGathered())); })
      .def("count_rows", &CountRows)
      .def("set_piece_rows", &ChunkReader::set_piece_rows, nb::arg("rows"));
}

}  // namespace floodwall::python
