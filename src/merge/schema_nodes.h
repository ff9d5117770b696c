#pragma once

/// Copies of Parquet schema nodes: a node put under another group would change its parent.
///
/// Threading: pure. Errors: throws parquet::ParquetException where a decimal does not fit the form
/// asked for. Lifetime: copies share logical types only.

#include <map>
#include <string>

#include "parquet/schema.h"
#include "parquet/types.h"

namespace floodwall {

/// The physical type of a decimal column, and its bytes where that is fixed.
struct DecimalForm {
  parquet::Type::type type;
  int length;
};
using DecimalForms = std::map<std::string, DecimalForm>;  ///< by the leaf's path, dotted

DecimalForms DecimalFormsOf(const parquet::SchemaDescriptor& schema);

parquet::schema::NodePtr CloneNode(const parquet::schema::Node& node);

/// A whole schema, with the decimals that `forms` names in those forms.
std::shared_ptr<parquet::schema::GroupNode> CloneSchema(const parquet::schema::GroupNode& root,
                                                        const DecimalForms& forms);

}  // namespace floodwall
