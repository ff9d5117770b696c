#include "merge/schema_nodes.h"

#include "arrow/util/checked_cast.h"

namespace floodwall {
namespace {

using arrow::internal::checked_cast;
using parquet::schema::GroupNode;
using parquet::schema::Node;
using parquet::schema::NodePtr;
using parquet::schema::NodeVector;
using parquet::schema::PrimitiveNode;

bool IsDecimal(const Node& leaf) {
  return leaf.logical_type() != nullptr && leaf.logical_type()->is_decimal();
}

NodePtr Clone(const Node& node, const std::string& path, const DecimalForms& forms) {
  const auto& logical = node.logical_type();
  const bool has_logical = logical != nullptr && logical->is_valid() && !logical->is_none();
  if (node.is_primitive()) {
    const auto& primitive = checked_cast<const PrimitiveNode&>(node);
    DecimalForm form{primitive.physical_type(), primitive.type_length()};
    if (IsDecimal(node)) {
      if (const auto known = forms.find(path); known != forms.end()) form = known->second;
    }
    if (has_logical) {
      return PrimitiveNode::Make(node.name(), node.repetition(), logical, form.type, form.length,
                                 node.field_id());
    }
    const auto& decimal = primitive.decimal_metadata();
    return PrimitiveNode::Make(node.name(), node.repetition(), form.type, node.converted_type(),
                               form.length, decimal.precision, decimal.scale, node.field_id());
  }
  const auto& group = checked_cast<const GroupNode&>(node);
  NodeVector children;
  for (int i = 0; i < group.field_count(); ++i) {
    children.push_back(Clone(*group.field(i), path + "." + group.field(i)->name(), forms));
  }
  if (has_logical) {
    return GroupNode::Make(node.name(), node.repetition(), children, logical, node.field_id());
  }
  return GroupNode::Make(node.name(), node.repetition(), children, node.converted_type(),
                         node.field_id());
}

}  // namespace

DecimalForms DecimalFormsOf(const parquet::SchemaDescriptor& schema) {
  DecimalForms forms;
  for (int leaf = 0; leaf < schema.num_columns(); ++leaf) {
    const auto* column = schema.Column(leaf);
    if (!IsDecimal(*column->schema_node())) continue;
    forms[column->path()->ToDotString()] = {column->physical_type(), column->type_length()};
  }
  return forms;
}

NodePtr CloneNode(const Node& node) { return Clone(node, node.name(), {}); }

std::shared_ptr<GroupNode> CloneSchema(const GroupNode& root, const DecimalForms& forms) {
  NodeVector children;
  for (int i = 0; i < root.field_count(); ++i) {
    children.push_back(Clone(*root.field(i), root.field(i)->name(), forms));
  }
  return std::static_pointer_cast<GroupNode>(
      GroupNode::Make(root.name(), root.repetition(), children));
}

}  // namespace floodwall
