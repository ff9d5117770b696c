#include "floodwall/key_matcher.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrow/api.h"
#include "arrow_array.h"
#include "arrow_stream.h"
#include "errors.h"

namespace nb = nanobind;

namespace floodwall::python {

void BindKeyMatcher(nb::module_& m) {
  nb::class_<KeyMatcher>(m, "KeyMatcher")
      .def_static(
          "make",
          [](nb::handle rows, nb::handle other, const std::vector<std::string>& key_columns) {
            auto reader = ValueOrThrow(ImportStream(rows));
            const auto other_schema = ValueOrThrow(ImportStream(other))->schema();
            arrow::Result<std::unique_ptr<KeyMatcher>> made;
            {
              nb::gil_scoped_release release;
              auto table = reader->ToTable();
              made = table.ok() ? KeyMatcher::Make(**table, *other_schema, key_columns)
                                : arrow::Result<std::unique_ptr<KeyMatcher>>(table.status());
            }
            return ValueOrThrow(std::move(made)).release();
          },
          nb::arg("rows"), nb::arg("other"), nb::arg("key_columns"), nb::rv_policy::take_ownership,
          "Keep the keys of `rows` for look-ups in rows of the schema of `other` (an empty table "
          "will do).")
      .def(
          "winners", [](const KeyMatcher& self) { return ToPyarrow(*self.winners()); },
          nb::sig("def winners(self) -> typing.Any"),
          "Positions of the rows that count, one a key, ascending.")
      .def(
          "find",
          [](const KeyMatcher& self, nb::handle rows) {
            auto reader = ValueOrThrow(ImportStream(rows));
            arrow::Result<std::shared_ptr<arrow::Array>> found;
            {
              nb::gil_scoped_release release;
              auto batch = reader->ToTable().Map(
                  [](const auto& table) { return table->CombineChunksToBatch(); });
              found = batch.ok() ? self.Find(**batch)
                                 : arrow::Result<std::shared_ptr<arrow::Array>>(batch.status());
            }
            return ToPyarrow(*ValueOrThrow(std::move(found)));
          },
          nb::arg("rows"), nb::sig("def find(self, rows: object) -> typing.Any"),
          "For each row the position of the kept row with its key; null without one.");
}

}  // namespace floodwall::python
