#include "merge/fit_values.h"

#include "arrow/array.h"
#include "arrow/builder.h"
#include "arrow/compute/api.h"
#include "arrow/extension_type.h"
#include "arrow/util/checked_cast.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

using arrow::internal::checked_cast;

/// Fits one array into one type; nested types child by child, because Arrow's cast refuses fields
/// that may be null where the target's may not, even when no value is.
class Fitter {
 public:
  Fitter(const std::string& column, arrow::MemoryPool* pool) : column_(column), exec_(pool) {
    exec_.set_use_threads(false);
  }

  arrow::Result<std::shared_ptr<arrow::Array>> Fit(std::shared_ptr<arrow::Array> values,
                                                   const std::shared_ptr<arrow::DataType>& type) {
    if (values->type()->Equals(*type)) return values;
    if (type->id() == arrow::Type::EXTENSION && values->type_id() != arrow::Type::EXTENSION) {
      ARROW_ASSIGN_OR_RAISE(
          auto storage,
          Fit(std::move(values), checked_cast<const arrow::ExtensionType&>(*type).storage_type()));
      return arrow::ExtensionType::WrapArray(type, storage);
    }
    if (values->type_id() == arrow::Type::EXTENSION) {
      return Fit(checked_cast<const arrow::ExtensionArray&>(*values).storage(), type);
    }
    if (type->id() == arrow::Type::STRING_VIEW || type->id() == arrow::Type::BINARY_VIEW) {
      return FitViews(std::move(values), type);
    }
    if (values->type_id() == type->id()) {
      switch (type->id()) {
        case arrow::Type::STRUCT: return FitStruct(*values, type);
        case arrow::Type::LIST:
        case arrow::Type::LARGE_LIST:
        case arrow::Type::MAP: return FitChildren(*values, type);
        case arrow::Type::FIXED_SIZE_LIST:
          if (checked_cast<const arrow::FixedSizeListType&>(*values->type()).list_size() ==
              checked_cast<const arrow::FixedSizeListType&>(*type).list_size()) {
            return FitChildren(*values, type);
          }
          break;
        default: break;
      }
    }
    if (values->type_id() == arrow::Type::RUN_END_ENCODED) {
      ARROW_ASSIGN_OR_RAISE(auto decoded, arrow::compute::RunEndDecode(values, &exec_));
      return Fit(decoded.make_array(), type);
    }
    auto cast = arrow::compute::Cast(*values, type, arrow::compute::CastOptions::Safe(), &exec_);
    if (cast.ok() || cast.status().IsOutOfMemory()) return cast;
    return Refuse(cast.status().message());
  }

  arrow::Status Refuse(const std::string& why) const {
    return MakeError(ErrorKind::kSchemaMismatch,
                     "source values do not fit column '" + column_ + "': " + why);
  }

 private:
  /// Arrow casts to no view: by way of plain strings.
  arrow::Result<std::shared_ptr<arrow::Array>> FitViews(
      std::shared_ptr<arrow::Array> values, const std::shared_ptr<arrow::DataType>& type) {
    const bool text = type->id() == arrow::Type::STRING_VIEW;
    ARROW_ASSIGN_OR_RAISE(auto plain,
                          Fit(std::move(values), text ? arrow::utf8() : arrow::binary()));
    arrow::BinaryViewBuilder builder(exec_.memory_pool());
    const auto& bytes = checked_cast<const arrow::BinaryArray&>(*plain);
    for (int64_t i = 0; i < bytes.length(); ++i) {
      if (bytes.IsNull(i)) {
        ARROW_RETURN_NOT_OK(builder.AppendNull());
      } else {
        ARROW_RETURN_NOT_OK(builder.Append(bytes.GetView(i)));
      }
    }
    ARROW_ASSIGN_OR_RAISE(auto views, builder.Finish());
    auto data = views->data()->Copy();
    data->type = type;
    return arrow::MakeArray(data);
  }

  arrow::Result<std::shared_ptr<arrow::Array>> FitStruct(
      const arrow::Array& values, const std::shared_ptr<arrow::DataType>& type) {
    const auto& from = *values.type();
    auto data = values.data()->Copy();
    const auto children = data->child_data;
    data->child_data.clear();
    data->type = type;
    for (const auto& field : checked_cast<const arrow::StructType&>(from).fields()) {
      if (checked_cast<const arrow::StructType&>(*type).GetFieldIndex(field->name()) < 0) {
        return Refuse("it has no field '" + field->name() + "'");
      }
    }
    for (const auto& field : type->fields()) {
      const int i = checked_cast<const arrow::StructType&>(from).GetFieldIndex(field->name());
      std::shared_ptr<arrow::Array> child;
      if (i < 0) {
        ARROW_ASSIGN_OR_RAISE(child,
                              arrow::MakeArrayOfNull(field->type(), data->offset + data->length,
                                                     exec_.memory_pool()));
      } else {
        ARROW_ASSIGN_OR_RAISE(
            child, Fit(arrow::MakeArray(children[static_cast<size_t>(i)]), field->type()));
      }
      if (!field->nullable() && child->null_count() > 0) {
        for (int64_t row = 0; row < data->length; ++row) {
          if (values.IsValid(row) && child->IsNull(data->offset + row)) {
            return Refuse("field '" + field->name() + "' is required, a value is null");
          }
        }
      }
      data->child_data.push_back(child->data());
    }
    return arrow::MakeArray(data);
  }

  /// Lists, fixed-size lists and maps: the one child.
  arrow::Result<std::shared_ptr<arrow::Array>> FitChildren(
      const arrow::Array& values, const std::shared_ptr<arrow::DataType>& type) {
    auto data = values.data()->Copy();
    data->type = type;
    ARROW_ASSIGN_OR_RAISE(auto child,
                          Fit(arrow::MakeArray(data->child_data[0]), type->field(0)->type()));
    if (!type->field(0)->nullable() && child->null_count() > 0) {
      for (int64_t row = 0; row < values.length(); ++row) {
        if (values.IsNull(row)) continue;
        const auto [begin, end] = RangeOf(values, row);
        for (int64_t i = begin; i < end; ++i) {
          if (child->IsNull(i)) return Refuse("its elements are required, one is null");
        }
      }
    }
    data->child_data[0] = child->data();
    return arrow::MakeArray(data);
  }

  static std::pair<int64_t, int64_t> RangeOf(const arrow::Array& values, int64_t row) {
    const auto range = [&](const auto& list) -> std::pair<int64_t, int64_t> {
      return {list.value_offset(row), list.value_offset(row) + list.value_length(row)};
    };
    switch (values.type_id()) {
      case arrow::Type::LARGE_LIST:
        return range(checked_cast<const arrow::LargeListArray&>(values));
      case arrow::Type::FIXED_SIZE_LIST:
        return range(checked_cast<const arrow::FixedSizeListArray&>(values));
      default: return range(checked_cast<const arrow::ListArray&>(values));
    }
  }

  const std::string& column_;
  arrow::compute::ExecContext exec_;
};

}  // namespace

arrow::Result<std::shared_ptr<arrow::Array>> FitValues(std::shared_ptr<arrow::Array> values,
                                                       const std::shared_ptr<arrow::DataType>& type,
                                                       bool nullable, const std::string& column,
                                                       arrow::MemoryPool* pool) {
  Fitter fitter(column, pool);
  ARROW_ASSIGN_OR_RAISE(values, fitter.Fit(std::move(values), type));
  if (!nullable && values->null_count() > 0) {
    return fitter.Refuse("it is required, a value is null");
  }
  return values;
}

}  // namespace floodwall
