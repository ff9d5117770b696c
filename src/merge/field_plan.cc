#include "merge/field_plan.h"

#include <algorithm>

#include "merge/plain_values.h"
#include "merge/strategy.h"

namespace floodwall {

std::vector<FieldPlan> PlanFields(const ParquetSource& file, const arrow::Schema& source,
                                  const Target& target, const MergeOptions& options) {
  std::vector<FieldPlan> plans;
  const parquet::SchemaDescriptor& schema = file.schema();
  for (int leaf = 0; leaf < schema.num_columns(); leaf += plans.back().leaf_count) {
    const auto* root = schema.GetColumnRoot(leaf);
    FieldPlan plan;
    plan.name = root->name();
    plan.leaf = leaf;
    while (leaf + plan.leaf_count < schema.num_columns() &&
           schema.GetColumnRoot(leaf + plan.leaf_count) == root) {
      ++plan.leaf_count;
    }
    plan.nested = root->is_group() || root->is_repeated();
    plan.source_column = source.GetFieldIndex(plan.name);
    // Equal keys: nothing to replace.
    const bool key = std::find(options.key_columns.begin(), options.key_columns.end(), plan.name) !=
                     options.key_columns.end();
    plan.replace = !key && !ReadsKeysOnly(options.strategy) &&
                   (plan.source_column >= 0 || options.missing_columns == MissingColumns::kNull);
    plans.push_back(std::move(plan));
  }
  if (!ReplacesRows(options.strategy)) return plans;
  const arrow::Schema known(target.columns());
  for (const auto& field : source.fields()) {
    const auto here = std::any_of(plans.begin(), plans.end(), [&](const FieldPlan& plan) {
      return plan.name == field->name();
    });
    const auto in_target = known.GetFieldByName(field->name());
    if (here || target.partitions().IndexOf(field->name()) >= 0 ||
        (!in_target && options.new_columns != NewColumns::kAdd)) {
      continue;
    }
    FieldPlan plan;
    plan.name = field->name();
    plan.leaf = -1;
    plan.leaf_count = 0;
    plan.nested = true;
    plan.source_column = source.GetFieldIndex(plan.name);
    plan.replace = true;
    plan.added = (in_target ? in_target : field)->WithNullable(true);
    plan.added = plan.added->WithType(WithoutView(plan.added->type()));
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace floodwall
