#include "support/patch_case.h"

namespace floodwall::testing {

std::shared_ptr<arrow::Array> PatchCase::RandomArray(int64_t length, int64_t distinct) {
  auto builder = arrow::MakeBuilder(type_).ValueOrDie();
  std::bernoulli_distribution null(null_share_);
  for (int64_t i = 0; i < length; ++i) {
    if (null(random_)) {
      EXPECT_TRUE(builder->AppendNull().ok());
      continue;
    }
    const auto n = static_cast<int64_t>(random_() % static_cast<uint64_t>(distinct));
    const auto append = [&](auto* typed, auto value) { EXPECT_TRUE(typed->Append(value).ok()); };
    const double special = n % 17 == 0   ? std::numeric_limits<double>::quiet_NaN()
                           : n % 17 == 1 ? -0.0
                           : n % 17 == 2 ? 0.0
                                         : static_cast<double>(n) - 100.5;
    const std::string text =
        n % 13 == 0 ? ""
                    : std::string(static_cast<size_t>(n % 9), '\xc3') + std::to_string(n * 7919);
    switch (type_->id()) {
      case arrow::Type::INT32:
      case arrow::Type::DATE32:
        append(static_cast<arrow::Int32Builder*>(builder.get()), static_cast<int32_t>(n - 20));
        break;
      case arrow::Type::INT64:
      case arrow::Type::TIMESTAMP:
        append(static_cast<arrow::Int64Builder*>(builder.get()), n * 1000003 - 7);
        break;
      case arrow::Type::UINT32:
        append(static_cast<arrow::UInt32Builder*>(builder.get()),
               static_cast<uint32_t>(n * 2500000));
        break;
      case arrow::Type::UINT64:
        append(static_cast<arrow::UInt64Builder*>(builder.get()), static_cast<uint64_t>(n - 9));
        break;
      case arrow::Type::FLOAT:
        append(static_cast<arrow::FloatBuilder*>(builder.get()), static_cast<float>(special));
        break;
      case arrow::Type::DOUBLE:
        append(static_cast<arrow::DoubleBuilder*>(builder.get()), special);
        break;
      case arrow::Type::HALF_FLOAT:
        append(static_cast<arrow::HalfFloatBuilder*>(builder.get()),
               arrow::util::Float16::FromDouble(special).bits());
        break;
      case arrow::Type::BOOL:
        append(static_cast<arrow::BooleanBuilder*>(builder.get()), n % 3 == 0);
        break;
      case arrow::Type::STRING:
        append(static_cast<arrow::StringBuilder*>(builder.get()), "k" + std::to_string(n * 7919));
        break;
      case arrow::Type::BINARY:
        append(static_cast<arrow::BinaryBuilder*>(builder.get()), text);
        break;
      case arrow::Type::FIXED_SIZE_BINARY: {
        const std::string bytes = (std::to_string(n * 104729) + "-----").substr(0, 5);
        append(static_cast<arrow::FixedSizeBinaryBuilder*>(builder.get()), bytes);
        break;
      }
      case arrow::Type::DECIMAL128:
        append(static_cast<arrow::Decimal128Builder*>(builder.get()),
               arrow::Decimal128(n * 31 - 200));
        break;
      default: ADD_FAILURE() << "no values of " << type_->ToString();
    }
  }
  return builder->Finish().ValueOrDie();
}

void PatchCase::MakeProperties() {
  using parquet::Encoding;
  parquet::WriterProperties::Builder builder;
  static const std::vector<arrow::Compression::type> kCodecs = {
      arrow::Compression::UNCOMPRESSED, arrow::Compression::SNAPPY, arrow::Compression::GZIP,
      arrow::Compression::ZSTD,         arrow::Compression::BROTLI, arrow::Compression::LZ4,
      arrow::Compression::LZ4_HADOOP};
  const auto codec = kCodecs[random_() % kCodecs.size()];
  builder.compression(codec);
  const bool v2 = random_() % 2 == 0;
  builder.data_page_version(v2 ? parquet::ParquetDataPageVersion::V2
                               : parquet::ParquetDataPageVersion::V1);
  builder.data_pagesize(256 << (random_() % 8))->write_batch_size(16);
  builder.max_rows_per_page(50 + static_cast<int64_t>(random_() % 5000));
  const bool crc = random_() % 2 == 0;
  if (crc) builder.enable_page_checksum();
  const bool index = random_() % 3 != 0;
  index ? builder.enable_write_page_index() : builder.disable_write_page_index();
  std::vector<Encoding::type> encodings = {Encoding::PLAIN};
  switch (type_->id()) {
    case arrow::Type::BOOL: encodings = {Encoding::PLAIN, Encoding::RLE}; break;
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      encodings = {Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY};
      break;
    case arrow::Type::INT32:
    case arrow::Type::INT64:
    case arrow::Type::UINT32:
    case arrow::Type::DATE32:
      encodings = {Encoding::PLAIN, Encoding::DELTA_BINARY_PACKED, Encoding::BYTE_STREAM_SPLIT};
      break;
    case arrow::Type::FIXED_SIZE_BINARY:
    case arrow::Type::DECIMAL128:
      encodings = {Encoding::PLAIN, Encoding::DELTA_BYTE_ARRAY, Encoding::BYTE_STREAM_SPLIT};
      break;
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE:
    case arrow::Type::HALF_FLOAT: encodings = {Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT}; break;
    default: break;
  }
  const auto encoding = encodings[random_() % encodings.size()];
  builder.encoding(encoding);
  const bool dictionary = random_() % 2 == 0;
  if (dictionary) {
    // Small limits make chunks that begin with indices and end without.
    builder.dictionary_pagesize_limit(64 << (random_() % 12));
  } else {
    builder.disable_dictionary();
  }
  bloom_ = (type_->id() == arrow::Type::INT64 || type_->id() == arrow::Type::STRING) &&
           random_() % 2 == 0;
  if (bloom_) {
    parquet::BloomFilterOptions options;
    options.ndv = 500;
    builder.enable_bloom_filter("c", options);
  }
  properties_ = builder.build();
  description_ = type_->ToString() + (nullable_ ? " nullable" : " required") + ", codec " +
                 std::to_string(static_cast<int>(codec)) + ", encoding " +
                 std::to_string(static_cast<int>(encoding)) + (dictionary ? ", dictionary" : "") +
                 (v2 ? ", v2" : ", v1") + (crc ? ", crc" : "") + (index ? ", index" : "") +
                 (bloom_ ? ", bloom" : "") + ", distinct " + std::to_string(distinct_) + ", rows " +
                 std::to_string(before_->length()) + ", nulls " + std::to_string(null_share_);
}

void PatchCase::Write() {
  auto schema = arrow::schema({arrow::field("c", type_, nullable_)});
  auto table = arrow::Table::Make(schema, {before_});
  auto sink = arrow::io::FileOutputStream::Open(path_).ValueOrDie();
  auto arrow_properties = parquet::ArrowWriterProperties::Builder();
  if (random_() % 2 == 0) arrow_properties.enable_deprecated_int96_timestamps();
  auto writer = parquet::arrow::FileWriter::Open(*schema, arrow::default_memory_pool(), sink,
                                                 properties_, arrow_properties.build())
                    .ValueOrDie();
  EXPECT_TRUE(writer->WriteTable(*table->Slice(0, first_group_), group_rows_ + 1).ok());
  EXPECT_TRUE(writer->WriteTable(*table->Slice(first_group_), group_rows_ + 1).ok());
  EXPECT_TRUE(writer->Close().ok());
  EXPECT_TRUE(sink->Close().ok());
  std::stringstream text;
  text << std::ifstream(path_, std::ios::binary).rdbuf();
  good_ = text.str();
  auto file = ParquetSource::Open(path_, context_.budget).ValueOrDie();
  // Arrow writes no row group of no rows.
  if (file->num_row_groups() == 1) {
    first_group_ = 0;
    group_rows_ = before_->length();
  }
  chunk_ = file->chunk_range(file->num_row_groups() - 1, 0);
}

void PatchCase::MakeEdits() {
  const double share = std::pow(10.0, -static_cast<double>(random_() % 4));
  const int removal_of_ten = random_() % 3 == 0 ? static_cast<int>(random_() % 11) : 0;
  const int same_of_ten = random_() % 4 == 0 ? 10 : static_cast<int>(random_() % 10);
  null_share_ = nullable_ ? static_cast<double>(random_() % 4) * 0.33 : 0;
  fresh_ = RandomArray(group_rows_, random_() % 2 == 0 ? distinct_ : distinct_ * 2 + 5);
  std::bernoulli_distribution chosen(share);
  std::vector<int64_t> taken;  // of before_ followed by fresh_
  for (int64_t i = 0; i < first_group_; ++i) taken.push_back(i);
  arrow::ArrayVector values;
  int64_t next = 0;
  for (int64_t row = 0; row < group_rows_; ++row) {
    const bool last = row + 1 == group_rows_;
    if (!chosen(random_) || (last && std::ssize(taken) == first_group_)) {
      taken.push_back(first_group_ + row);
    } else if (static_cast<int>(random_() % 10) < removal_of_ten) {
      edits_.push_back({row, RowMatch::kRemoved});
      removals_ = true;
    } else {
      // Some new values equal the old ones.
      values.push_back(static_cast<int>(random_() % 10) < same_of_ten
                           ? before_->Slice(first_group_ + row, 1)
                           : fresh_->Slice(next, 1));
      edits_.push_back({row, next});
      taken.push_back(before_->length() + next++);
    }
  }
  fresh_ = values.empty() ? before_->Slice(0, 0) : Concatenated(values);
  arrow::Int64Builder indices;
  EXPECT_TRUE(indices.AppendValues(taken).ok());
  after_ = arrow::compute::Take(*Concatenated({before_, fresh_}), *indices.Finish().ValueOrDie())
               .ValueOrDie();
  take_ =
      [this](std::span<const int64_t> ordinals) -> arrow::Result<std::shared_ptr<arrow::Array>> {
    arrow::Int64Builder wanted;
    ARROW_RETURN_NOT_OK(wanted.AppendValues(ordinals.data(), std::ssize(ordinals)));
    ARROW_ASSIGN_OR_RAISE(auto array, wanted.Finish());
    ARROW_ASSIGN_OR_RAISE(auto out, arrow::compute::Take(*fresh_, *array));
    return out;
  };
  description_ += ", edits " + std::to_string(edits_.size()) + (removals_ ? " with removals" : "");
}

}  // namespace floodwall::testing
