#include "merge/key_encoder.h"

#include <cstring>
#include <new>

#include "arrow/compute/api.h"
#include "arrow/extension_type.h"
#include "arrow/scalar.h"
#include "arrow/util/checked_cast.h"
#include "floodwall/error.h"
#include "merge/key_visitor.h"

namespace floodwall {
namespace {

using arrow::internal::checked_cast;
using Arrays = std::vector<std::shared_ptr<arrow::Array>>;

}  // namespace

arrow::Result<std::shared_ptr<arrow::Array>> DensifyKeys(std::shared_ptr<arrow::Array> array,
                                                         arrow::MemoryPool* pool) {
  arrow::compute::ExecContext context(pool);
  context.set_use_threads(false);
  while (true) {
    switch (array->type_id()) {
      case arrow::Type::EXTENSION:
        array = checked_cast<const arrow::ExtensionArray&>(*array).storage();
        break;
      case arrow::Type::DICTIONARY: {
        const auto& type = checked_cast<const arrow::DictionaryType&>(*array->type());
        ARROW_ASSIGN_OR_RAISE(array,
                              arrow::compute::Cast(*array, type.value_type(),
                                                   arrow::compute::CastOptions::Safe(), &context));
        break;
      }
      case arrow::Type::RUN_END_ENCODED: {
        ARROW_ASSIGN_OR_RAISE(auto decoded, arrow::compute::RunEndDecode(array, &context));
        array = decoded.make_array();
        break;
      }
      default: return array;
    }
  }
}

KeyEncoder::KeyEncoder(const KeySchema* schema, arrow::MemoryPool* pool)
    : schema_(schema), pool_(pool) {}

arrow::Status KeyEncoder::Encode(const Arrays& columns, KeyBatch* out) {
  Arrays dense;
  for (const auto& column : columns) {
    ARROW_ASSIGN_OR_RAISE(auto array, DensifyKeys(column, pool_));
    dense.push_back(std::move(array));
  }
  out->length = dense.front()->length();
  try {
    const auto n = static_cast<size_t>(out->length);
    out->has_null.assign(n, 0);
    for (const auto& array : dense) {
      if (array->null_count() == 0) continue;
      for (size_t i = 0; i < n; ++i) {
        if (array->IsNull(static_cast<int64_t>(i))) out->has_null[i] = 1;
      }
    }
    return schema_->inlined ? EncodeInline(dense, out) : EncodeBytes(dense, out);
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory for a batch of ", out->length, " keys");
  }
}

arrow::Status KeyEncoder::EncodeInline(const Arrays& columns, KeyBatch* out) {
  out->inlined.assign(static_cast<size_t>(out->length), InlineKey{});
  char* base = reinterpret_cast<char*>(out->inlined.data());
  size_t offset = static_cast<size_t>(schema_->flag_bytes);
  for (size_t c = 0; c < columns.size(); ++c) {
    const arrow::Array& array = *columns[c];
    if (array.null_count() != 0) {
      for (int64_t i = 0; i < array.length(); ++i) {
        if (array.IsNull(i))
          base[i * 16 + static_cast<int64_t>(c / 8)] |= static_cast<char>(1 << (c % 8));
      }
    }
    const auto emit = [&](int64_t row, const void* bytes, size_t width) {
      std::memcpy(base + row * 16 + static_cast<int64_t>(offset), bytes, width);
    };
    FixedVisitor visitor(schema_->components[c], emit);
    ARROW_RETURN_NOT_OK(visitor.Visit(array));
    offset += static_cast<size_t>(schema_->components[c].width);
  }
  return arrow::Status::OK();
}

arrow::Status KeyEncoder::EncodeBytes(const Arrays& columns, KeyBatch* out) {
  // Two passes: lengths first, so that every key lies in one piece.
  const auto n = static_cast<size_t>(out->length);
  const auto flags = static_cast<int64_t>(schema_->flag_bytes);
  out->offsets.assign(n + 1, 0);
  constexpr int64_t kLengthBytes = 4;
  int64_t fixed = flags;
  for (size_t c = 0; c < columns.size(); ++c) {
    const KeyComponent& component = schema_->components[c];
    if (component.form != KeyForm::kBytes) {
      fixed += component.width;
      continue;
    }
    fixed += kLengthBytes;
    ARROW_RETURN_NOT_OK(VisitBytes(*columns[c], [&](int64_t row, std::string_view bytes) {
      out->offsets[static_cast<size_t>(row) + 1] += static_cast<int64_t>(bytes.size());
    }));
  }
  for (size_t i = 0; i < n; ++i) out->offsets[i + 1] += out->offsets[i] + fixed;
  out->bytes.assign(static_cast<size_t>(out->offsets[n]), 0);

  // Where the next component of each row goes: kept in the row's own flag area would not
  // fit, so a cursor a row.
  PoolVector<int64_t> cursor(out->offsets.begin(), out->offsets.end() - 1,
                             arrow::stl::allocator<int64_t>(pool_));
  for (auto& position : cursor) position += flags;
  char* base = out->bytes.data();
  for (size_t c = 0; c < columns.size(); ++c) {
    const arrow::Array& array = *columns[c];
    const KeyComponent& component = schema_->components[c];
    if (array.null_count() != 0) {
      for (size_t i = 0; i < n; ++i) {
        if (array.IsNull(static_cast<int64_t>(i))) {
          base[out->offsets[i] + static_cast<int64_t>(c / 8)] |= static_cast<char>(1 << (c % 8));
        }
      }
    }
    if (component.form == KeyForm::kBytes) {
      ARROW_RETURN_NOT_OK(VisitBytes(array, [&](int64_t row, std::string_view bytes) {
        int64_t& position = cursor[static_cast<size_t>(row)];
        const auto length = static_cast<uint32_t>(bytes.size());
        std::memcpy(base + position, &length, sizeof(length));
        if (!bytes.empty()) std::memcpy(base + position + kLengthBytes, bytes.data(), bytes.size());
        position += static_cast<int64_t>(bytes.size());
      }));
      for (auto& position : cursor) position += kLengthBytes;
    } else {
      const auto emit = [&](int64_t row, const void* bytes, size_t width) {
        std::memcpy(base + cursor[static_cast<size_t>(row)], bytes, width);
      };
      FixedVisitor visitor(component, emit);
      ARROW_RETURN_NOT_OK(visitor.Visit(array));
      for (auto& position : cursor) position += component.width;
    }
  }
  return arrow::Status::OK();
}

std::string PrintKey(const KeySchema& schema, const Arrays& columns, int64_t row) {
  std::string out = "(";
  for (size_t c = 0; c < columns.size(); ++c) {
    if (c > 0) out += ", ";
    out += schema.components[c].name + "=";
    auto scalar = columns[c]->GetScalar(row);
    out += scalar.ok() ? (*scalar)->ToString() : "?";
  }
  return out + ")";
}

}  // namespace floodwall
