// Decimals in columns whose width their precision does not tell, read back by Arrow's own reader.

#include "merge/stored_decimals.h"

#include <random>

#include "arrow/builder.h"
#include "arrow/compute/initialize.h"
#include "arrow/io/memory.h"
#include "arrow/table.h"
#include "arrow/util/decimal.h"
#include "floodwall/error.h"
#include "gtest/gtest.h"
#include "merge/physical_values.h"
#include "merge/run_context.h"
#include "merge/schema_nodes.h"
#include "parquet/arrow/reader.h"
#include "parquet/arrow/writer.h"
#include "parquet/column_reader.h"
#include "parquet/file_reader.h"
#include "parquet/file_writer.h"

namespace floodwall {
namespace {

using parquet::Repetition;
using parquet::schema::GroupNode;
using parquet::schema::NodePtr;
using parquet::schema::PrimitiveNode;

struct Form {
  int precision;
  parquet::Type::type type;
  int length;
};

/// Every width that Arrow reads, from the least of some precisions on.
std::vector<Form> Forms() {
  std::vector<Form> forms;
  for (const int precision : {1, 5, 9, 15, 18, 19, 25, 36, 38, 39, 50, 76}) {
    const int widest = precision <= 38 ? 16 : 32;
    for (int n = arrow::DecimalType::DecimalSize(precision); n <= widest; ++n) {
      forms.push_back({precision, parquet::Type::FIXED_LEN_BYTE_ARRAY, n});
    }
    forms.push_back({precision, parquet::Type::BYTE_ARRAY, -1});
    if (precision <= 9) forms.push_back({precision, parquet::Type::INT32, -1});
    if (precision <= 18) forms.push_back({precision, parquet::Type::INT64, -1});
  }
  return forms;
}

std::shared_ptr<arrow::DataType> TypeOf(int precision) {
  if (precision <= 38) return arrow::decimal128(precision, 1);
  return arrow::decimal256(precision, 1);
}

/// Random values of every length with the bounds of the precision among them, and nulls.
std::shared_ptr<arrow::Array> Decimals(int precision, bool nulls) {
  std::mt19937 random(static_cast<unsigned>(precision));
  arrow::Decimal256 bound(1);
  for (int i = 0; i < precision; ++i) bound *= arrow::Decimal256(10);
  bound += arrow::Decimal256(-1);
  std::vector<arrow::Decimal256> values = {arrow::Decimal256(0), arrow::Decimal256(-1), bound,
                                           -bound};
  for (int i = 0; i < 200; ++i) {
    arrow::Decimal256 value(0);
    for (int digit = 1 + static_cast<int>(random()) % precision; digit > 0; --digit) {
      value = value * arrow::Decimal256(10) + arrow::Decimal256(static_cast<int>(random() % 10));
    }
    values.push_back(random() % 2 == 0 ? value : -value);
  }
  std::unique_ptr<arrow::ArrayBuilder> builder;
  EXPECT_TRUE(arrow::MakeBuilder(arrow::default_memory_pool(), TypeOf(precision), &builder).ok());
  for (size_t i = 0; i < values.size(); ++i) {
    if (nulls && i % 5 == 4) {
      EXPECT_TRUE(builder->AppendNull().ok());
    } else if (precision <= 38) {
      const arrow::Decimal128 low(static_cast<int64_t>(values[i].little_endian_array()[1]),
                                  values[i].little_endian_array()[0]);
      EXPECT_TRUE(static_cast<arrow::Decimal128Builder&>(*builder).Append(low).ok());
    } else {
      EXPECT_TRUE(static_cast<arrow::Decimal256Builder&>(*builder).Append(values[i]).ok());
    }
  }
  return builder->Finish().ValueOrDie();
}

NodePtr Leaf(const std::string& name, Repetition::type repetition, const Form& form) {
  return PrimitiveNode::Make(name, repetition, parquet::LogicalType::Decimal(form.precision, 1),
                             form.type, form.length);
}

/// Writes the values as the merge does and reads them with Arrow.
std::shared_ptr<arrow::Array> RoundTrip(const NodePtr& node,
                                        const std::shared_ptr<arrow::Array>& values) {
  auto* pool = arrow::default_memory_pool();
  const auto stored = StoredType(*node, values->type()).ValueOrDie();
  const auto laid = StoredValues(values, stored, node->name(), pool).ValueOrDie();
  EXPECT_TRUE(laid->ValidateFull().ok());
  auto sink = arrow::io::BufferOutputStream::Create().ValueOrDie();
  const auto root = std::static_pointer_cast<GroupNode>(
      GroupNode::Make("schema", Repetition::REQUIRED, {CloneNode(*node)}));
  std::unique_ptr<parquet::arrow::FileWriter> writer;
  EXPECT_TRUE(parquet::arrow::FileWriter::Make(pool, parquet::ParquetFileWriter::Open(sink, root),
                                               arrow::schema({arrow::field(node->name(), stored)}),
                                               parquet::default_arrow_writer_properties(), &writer)
                  .ok());
  EXPECT_TRUE(writer->NewRowGroup().ok());
  EXPECT_TRUE(writer->WriteColumnChunk(*laid).ok());
  EXPECT_TRUE(writer->Close().ok());
  auto file = parquet::ParquetFileReader::Open(
      std::make_shared<arrow::io::BufferReader>(sink->Finish().ValueOrDie()));
  EXPECT_TRUE(file->metadata()->schema()->group_node()->field(0)->Equals(node.get()));
  auto reader = parquet::arrow::FileReader::Make(pool, std::move(file)).ValueOrDie();
  return reader->ReadTable().ValueOrDie()->column(0)->chunk(0);
}

TEST(StoredDecimals, EveryFormReadsBack) {
  for (const Form& form : Forms()) {
    SCOPED_TRACE(testing::Message() << "precision " << form.precision << ", "
                                    << parquet::TypeToString(form.type) << " " << form.length);
    for (const bool nulls : {false, true}) {
      const auto values = Decimals(form.precision, nulls);
      const auto read =
          RoundTrip(Leaf("d", nulls ? Repetition::OPTIONAL : Repetition::REQUIRED, form), values);
      ASSERT_TRUE(read->Equals(*values)) << read->ToString();
      const auto part = values->Slice(7, 50);
      ASSERT_TRUE(RoundTrip(Leaf("d", Repetition::OPTIONAL, form), part)->Equals(*part));
    }
  }
}

TEST(StoredDecimals, EveryFormReadsBackInsideOtherTypes) {
  for (const Form& form : Forms()) {
    SCOPED_TRACE(testing::Message() << "precision " << form.precision << ", "
                                    << parquet::TypeToString(form.type) << " " << form.length);
    // map<int32, struct<word: string, d: decimal>>, three entries a row, some rows null.
    const auto decimals = Decimals(form.precision, true);
    const int64_t n = decimals->length();
    arrow::Int32Builder keys;
    arrow::Int32Builder offsets;
    arrow::StringBuilder words;
    for (int64_t i = 0; i < n; ++i) {
      if (i % 3 == 0) {
        ASSERT_TRUE(
            (i % 21 == 0 ? offsets.AppendNull() : offsets.Append(static_cast<int>(i))).ok());
      }
      ASSERT_TRUE(keys.Append(static_cast<int>(i)).ok());
      ASSERT_TRUE(words.Append(std::string(static_cast<size_t>(i % 4), 'w')).ok());
    }
    ASSERT_TRUE(offsets.Append(static_cast<int>(n)).ok());
    const auto items = arrow::StructArray::Make({words.Finish().ValueOrDie(), decimals},
                                                {arrow::field("word", arrow::utf8()),
                                                 arrow::field("d", decimals->type())})
                           .ValueOrDie();
    const auto values = arrow::MapArray::FromArrays(offsets.Finish().ValueOrDie(),
                                                    keys.Finish().ValueOrDie(), items)
                            .ValueOrDie();
    const auto word = PrimitiveNode::Make(
        "word", Repetition::OPTIONAL, parquet::LogicalType::String(), parquet::Type::BYTE_ARRAY);
    const auto value = GroupNode::Make("value", Repetition::OPTIONAL,
                                       {word, Leaf("d", Repetition::OPTIONAL, form)});
    const auto key = PrimitiveNode::Make("key", Repetition::REQUIRED, parquet::Type::INT32);
    const auto map =
        GroupNode::Make("m", Repetition::OPTIONAL,
                        {GroupNode::Make("key_value", Repetition::REPEATED, {key, value})},
                        parquet::LogicalType::Map());
    const auto read = RoundTrip(map, values);
    ASSERT_TRUE(read->Equals(*values)) << read->ToString();
    const auto part = values->Slice(3, 11);
    ASSERT_TRUE(RoundTrip(map, part)->Equals(*part));
  }
}

TEST(StoredDecimals, PlainPagesHaveTheColumnsBytes) {
  ASSERT_TRUE(arrow::compute::Initialize().ok());
  MergeOptions options;
  RunContext context(options);
  arrow::Decimal128Builder builder(arrow::decimal128(20, 1));
  ASSERT_TRUE(builder.Append(arrow::Decimal128(48650)).ok());
  ASSERT_TRUE(builder.Append(arrow::Decimal128(-2)).ok());
  const auto values = builder.Finish().ValueOrDie();
  const auto bytes = [&](const Form& form) -> std::string {
    const auto node = Leaf("d", Repetition::REQUIRED, form);
    const parquet::ColumnDescriptor column(node, 0, 0);
    auto page = EncodePlain(values, 2, &column, context.encode_pool).ValueOrDie();
    return page.pages->ToString();
  };
  const auto ends_with = [](const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
  };
  const std::string wide = std::string(14, '\0') + "\xbe\x0a" + std::string(15, '\xff') + "\xfe";
  EXPECT_TRUE(ends_with(bytes({22, parquet::Type::FIXED_LEN_BYTE_ARRAY, 16}), wide));
  // 0xbe has the sign bit set: three bytes.
  const std::string shortest("\x03\0\0\0\0\xbe\x0a\x01\0\0\0\xfe", 12);
  EXPECT_TRUE(ends_with(bytes({22, parquet::Type::BYTE_ARRAY, -1}), shortest));
}

TEST(StoredDecimals, AValueThatNeedsMoreBytesIsRefused) {
  arrow::Decimal128Builder builder(arrow::decimal128(20, 0));
  ASSERT_TRUE(builder.Append(arrow::Decimal128(128)).ok());
  const auto values = builder.Finish().ValueOrDie();
  auto* pool = arrow::default_memory_pool();
  EXPECT_TRUE(StoredValues(values, arrow::fixed_size_binary(2), "price", pool).ok());
  const auto refused = StoredValues(values, arrow::fixed_size_binary(1), "price", pool).status();
  const ErrorDetail* detail = ErrorDetail::From(refused);
  ASSERT_NE(detail, nullptr);
  EXPECT_EQ(detail->kind, ErrorKind::kSchemaMismatch);
  EXPECT_NE(refused.message().find("'price': a decimal takes 2 bytes, the column has 1"),
            std::string::npos);
}

TEST(SchemaNodes, DecimalsTakeTheirFormsByPath) {
  const Form narrow{20, parquet::Type::FIXED_LEN_BYTE_ARRAY, 9};
  const auto schema = [](const Form& form) {
    return std::static_pointer_cast<GroupNode>(GroupNode::Make(
        "schema", Repetition::REQUIRED,
        {Leaf("d", Repetition::OPTIONAL, form),
         GroupNode::Make("s", Repetition::OPTIONAL, {Leaf("d", Repetition::OPTIONAL, form)})}));
  };
  const Form wide{20, parquet::Type::FIXED_LEN_BYTE_ARRAY, 16};
  parquet::SchemaDescriptor known;
  known.Init(schema(wide));
  const auto made = CloneSchema(*schema(narrow), DecimalFormsOf(known));
  EXPECT_TRUE(made->Equals(schema(wide).get()));
  EXPECT_TRUE(CloneSchema(*schema(narrow), {})->Equals(schema(narrow).get()));
}

}  // namespace
}  // namespace floodwall
