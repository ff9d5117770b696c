#include "merge/partitions.h"

#include <algorithm>
#include <charconv>

#include "arrow/array/util.h"
#include "arrow/compute/api.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

constexpr char kNull[] = "__HIVE_DEFAULT_PARTITION__";
constexpr int64_t kBytesPerPartition = 512;
constexpr size_t kMaxName = 255;  // of one directory, as file systems have it

std::string Join(const std::vector<std::string>& names) {
  std::string out = "[";
  for (const auto& name : names) out += (out.size() > 1 ? ", '" : "'") + name + "'";
  return out + "]";
}

bool IsText(const arrow::DataType& type) {
  return arrow::is_base_binary_like(type.id()) || arrow::is_binary_view_like(type.id());
}

arrow::Result<std::shared_ptr<arrow::Scalar>> Parse(const std::string& text,
                                                    const std::string& column,
                                                    const std::shared_ptr<arrow::DataType>& type) {
  if (text == kNull) return arrow::MakeNullScalar(type);
  const std::string decoded = DecodePathText(text);
  if (IsText(*type)) return arrow::MakeScalar(type, arrow::Buffer::FromString(decoded));
  const auto scalar = std::make_shared<arrow::StringScalar>(decoded);
  auto cast = arrow::compute::Cast(arrow::Datum(scalar), type);
  if (cast.ok()) return cast->scalar();
  return MakeError(ErrorKind::kSchemaMismatch,
                   "the value of partition column '" + column + "' in the directory '" + column +
                       "=" + text + "' is no " + type->ToString() + ", which the source has");
}

bool IsInteger(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::to_string(value) == text;
}

/// Canonical bytes of row `row`.
std::string BytesOf(const KeyBatch& batch, bool inlined, int64_t row) {
  if (!inlined) return std::string(batch.Bytes(row));
  const InlineKey& key = batch.inlined[static_cast<size_t>(row)];
  return std::string(reinterpret_cast<const char*>(&key), sizeof(key));
}

}  // namespace

std::string EncodePathText(const std::string& text) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
        c == '_' || c == '.' || c == '~') {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kDigits[byte >> 4]);
      out.push_back(kDigits[byte & 15]);
    }
  }
  return out;
}

std::string DecodePathText(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr ==
            text.data() + i + 3) {
      out.push_back(static_cast<char>(value));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

int Partitions::IndexOf(const std::string& name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  return found == columns_.end() ? -1 : static_cast<int>(found - columns_.begin());
}

arrow::Status Partitions::ReadLayout(const DatasetListing& listing) {
  for (const DatasetFile& file : listing.files) {
    std::vector<std::string> names;
    std::vector<std::string> texts;
    const std::string& path = file.relative_path;
    for (size_t start = 0, slash = path.find('/'); slash != std::string::npos;
         start = slash + 1, slash = path.find('/', start)) {
      const std::string part = path.substr(start, slash - start);
      const size_t equals = part.find('=');
      if (equals == std::string::npos || equals == 0) continue;
      names.push_back(DecodePathText(part.substr(0, equals)));
      texts.push_back(part.substr(equals + 1));
    }
    if (&file == &listing.files.front()) {
      columns_ = names;
    } else if (names != columns_) {
      return MakeError(ErrorKind::kUnsupportedFile,
                       "the partition directories are not uniform: " + Join(columns_) + " in '" +
                           listing.files.front().relative_path + "', " + Join(names) + " in '" +
                           path + "'");
    }
    texts_.push_back(std::move(texts));
  }
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (std::count(columns_.begin(), columns_.end(), columns_[i]) > 1) {
      return MakeError(ErrorKind::kUnsupportedFile, "a partition column stands twice in '" +
                                                        listing.files.front().relative_path + "'");
    }
  }
  return arrow::Status::OK();
}

arrow::Status Partitions::SetTypes(const arrow::Schema& source) {
  std::vector<std::vector<std::shared_ptr<arrow::DataType>>> key_types;
  for (size_t c = 0; c < columns_.size(); ++c) {
    const auto field = source.GetFieldByName(columns_[c]);
    if (field) {
      types_.push_back(KeyStorageType(field->type()));
    } else {
      // As readers guess: numbers where all are numbers.
      const bool numbers =
          !texts_.empty() && std::all_of(texts_.begin(), texts_.end(), [&](const auto& texts) {
            return texts[c] == kNull || IsInteger(texts[c]);
          });
      types_.push_back(numbers ? arrow::int64() : arrow::utf8());
    }
    if (arrow::is_nested(types_.back()->id())) {
      return MakeError(ErrorKind::kSchemaMismatch, "column '" + columns_[c] + "' of type " +
                                                       types_.back()->ToString() +
                                                       " cannot be a partition column");
    }
    key_types.push_back({types_.back()});
  }
  ARROW_ASSIGN_OR_RAISE(auto schema, KeySchema::Resolve(columns_, key_types));
  schema_ = std::make_shared<KeySchema>(std::move(schema));
  return arrow::Status::OK();
}

arrow::Result<Partitions> Partitions::Of(const DatasetListing& listing, const arrow::Schema& source,
                                         RunContext* context) {
  Partitions out;
  ARROW_RETURN_NOT_OK(out.ReadLayout(listing));
  const auto& asked = context->options.partition_columns;
  if (listing.files.empty()) {
    out.columns_ = asked.value_or(std::vector<std::string>{});
    for (const std::string& name : out.columns_) {
      if (name.empty() || name[0] == '_' || name[0] == '.') {
        return MakeError(ErrorKind::kInvalidMerge,
                         "partition_columns cannot name '" + name +
                             "': readers skip directories that begin with '_' or '.'");
      }
    }
  } else if (asked && *asked != out.columns_) {
    return MakeError(
        ErrorKind::kInvalidMerge,
        "partition_columns is " + Join(*asked) + ", but the target is " +
            (out.columns_.empty() ? "not partitioned" : "partitioned by " + Join(out.columns_)));
  }
  ARROW_ASSIGN_OR_RAISE(auto charge, Reservation::Make(context->index_pool->budget(), 0));
  out.charge_ = std::make_shared<Reservation>(std::move(charge));
  ARROW_RETURN_NOT_OK(out.SetTypes(source));
  if (out.columns_.empty()) {
    out.directories_.emplace_back();
    out.values_.emplace_back();
    out.file_partitions_.assign(listing.files.size(), 0);
    return out;
  }
  for (size_t f = 0; f < out.texts_.size(); ++f) {
    Values values;
    std::string directory;
    for (size_t c = 0; c < out.columns_.size(); ++c) {
      ARROW_ASSIGN_OR_RAISE(auto value, Parse(out.texts_[f][c], out.columns_[c], out.types_[c]));
      values.push_back(std::move(value));
    }
    // The directory as it is written there, without what is no partition.
    const std::string& path = listing.files[f].relative_path;
    directory = path.substr(0, path.rfind('/'));
    const size_t last = directory.rfind('=');
    const size_t end = directory.find('/', last);
    if (end != std::string::npos) directory.resize(end);
    ARROW_ASSIGN_OR_RAISE(const int32_t id, out.Find(std::move(values), &directory, context));
    out.file_partitions_.push_back(id);
  }
  out.texts_.clear();
  return out;
}

arrow::Result<int32_t> Partitions::Find(Values values, const std::string* directory,
                                        RunContext* context) {
  std::vector<std::shared_ptr<arrow::Array>> row;
  for (const auto& value : values) {
    ARROW_ASSIGN_OR_RAISE(auto array, arrow::MakeArrayFromScalar(*value, 1, context->read_pool));
    row.push_back(std::move(array));
  }
  KeyEncoder encoder(schema_.get(), context->read_pool);
  KeyBatch keys(context->read_pool);
  ARROW_RETURN_NOT_OK(encoder.Encode(row, &keys));
  std::string bytes = BytesOf(keys, schema_->inlined, 0);
  const auto known = ids_.find(bytes);
  if (known != ids_.end()) return known->second;
  std::string made;
  if (directory == nullptr) {
    ARROW_ASSIGN_OR_RAISE(made, MakeDirectory(values));
    directory = &made;
  }
  const auto size = static_cast<int64_t>(directory->size() + bytes.size());
  ARROW_RETURN_NOT_OK(charge_->Resize(charge_->bytes() + kBytesPerPartition + 3 * size));
  const auto id = static_cast<int32_t>(directories_.size());
  directories_.push_back(*directory);
  values_.push_back(std::move(values));
  ids_.emplace(std::move(bytes), id);
  return id;
}

arrow::Result<std::string> Partitions::MakeDirectory(const Values& values) const {
  std::string out;
  for (size_t c = 0; c < columns_.size(); ++c) {
    std::string text = kNull;
    if (values[c]->is_valid) {
      if (IsText(*types_[c])) {
        text = static_cast<const arrow::BaseBinaryScalar&>(*values[c]).value->ToString();
      } else {
        ARROW_ASSIGN_OR_RAISE(auto cast,
                              arrow::compute::Cast(arrow::Datum(values[c]), arrow::utf8()));
        text = cast.scalar_as<arrow::StringScalar>().value->ToString();
      }
      text = EncodePathText(text);
      // A text that reads like the mark of null is told apart by its first letter.
      if (text == kNull) text.replace(0, 1, "%5F");
      // What is written must be what is read again.
      ARROW_ASSIGN_OR_RAISE(auto again, Parse(text, columns_[c], types_[c]));
      if (!again->Equals(*values[c], arrow::EqualOptions::Defaults().nans_equal(true))) {
        return MakeError(ErrorKind::kSchemaMismatch,
                         "a value of partition column '" + columns_[c] + "' of type " +
                             types_[c]->ToString() +
                             " cannot be written as a directory: " + values[c]->ToString());
      }
    }
    const std::string name = EncodePathText(columns_[c]) + "=" + text;
    if (name.size() > kMaxName) {
      return MakeError(ErrorKind::kSchemaMismatch,
                       "a value of partition column '" + columns_[c] +
                           "' is too long for the name of a directory: " + name.substr(0, 60) +
                           "...");
    }
    out += (out.empty() ? "" : "/") + name;
  }
  return out;
}

arrow::Status Partitions::Assign(const std::vector<std::shared_ptr<arrow::Array>>& columns,
                                 int32_t* out, RunContext* context) {
  std::vector<std::shared_ptr<arrow::Array>> dense;
  for (const auto& column : columns) {
    ARROW_ASSIGN_OR_RAISE(auto array, DensifyKeys(column, context->read_pool));
    dense.push_back(std::move(array));
  }
  KeyEncoder encoder(schema_.get(), context->read_pool);
  KeyBatch keys(context->read_pool);
  ARROW_RETURN_NOT_OK(encoder.Encode(dense, &keys));
  for (int64_t row = 0; row < keys.length; ++row) {
    const auto known = ids_.find(BytesOf(keys, schema_->inlined, row));
    if (known != ids_.end()) {
      out[row] = known->second;
      continue;
    }
    Values values;
    for (const auto& column : dense) {
      ARROW_ASSIGN_OR_RAISE(auto value, column->GetScalar(row));
      values.push_back(std::move(value));
    }
    ARROW_ASSIGN_OR_RAISE(out[row], Find(std::move(values), nullptr, context));
  }
  return arrow::Status::OK();
}

}  // namespace floodwall
