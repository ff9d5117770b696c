#include "dataset/footer_index.h"

#include <algorithm>
#include <array>
#include <limits>

#include "dataset/parquet_thrift.h"
#include "floodwall/error.h"

namespace floodwall {
namespace {

namespace field = parquet_field;
using thrift::ContainerHeader;
using thrift::Cursor;
using thrift::FieldHeader;
using thrift::StructScope;
using thrift::StructWriter;
using thrift::Type;

/// Groups inside each other. Arrow's schema reader recurses, so a hostile depth ends its stack.
constexpr size_t kMaxSchemaDepth = 100;
/// The required fields of a ColumnChunk take this much.
constexpr int64_t kLeastChunkBytes = 16;

arrow::Status Refuse(const char* why) { return MakeError(ErrorKind::kUnsupportedFile, why); }

class FooterReader {
 public:
  FooterReader(thrift::Input* input, int64_t begin, int64_t end, int64_t file_size,
               Reservation* charge, FooterIndex* out)
      : cursor_(input, begin, end),
        input_(input),
        file_size_(file_size),
        charge_(charge),
        out_(*out) {
    out_.footer_begin = begin;
    out_.footer_end = end;
  }

  arrow::Status Run() {
    StructWriter header(&out_.header);
    StructScope scope;
    FieldHeader f;
    bool has_rows = false;
    bool has_groups = false;
    while (cursor_.Next(&scope, &f)) {
      switch (f.id) {
        case field::file_metadata::kNumRows:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kI64));
          out_.num_rows = cursor_.Integer(Type::kI64);
          has_rows = true;
          break;
        case field::file_metadata::kRowGroups:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kList));
          ARROW_RETURN_NOT_OK(RowGroups());
          has_groups = true;
          break;
        case field::file_metadata::kEncryptionAlgorithm:
        case field::file_metadata::kFooterSigningKey: return Refuse("it is encrypted");
        default: ARROW_RETURN_NOT_OK(HeaderField(f, &header));
      }
    }
    ARROW_RETURN_NOT_OK(cursor_.status());
    header.Stop();
    if (!has_rows || !has_groups || out_.schema_elements == 0)
      return Refuse("footer is incomplete");
    return rows_ == out_.num_rows ? arrow::Status::OK() : Refuse("row counts disagree");
  }

 private:
  arrow::Status Expect(const FieldHeader& f, Type type) {
    if (f.type == type) return arrow::Status::OK();
    return Refuse("a footer field has another type");
  }

  /// Takes over a field of the footer as it is.
  arrow::Status HeaderField(const FieldHeader& f, StructWriter* header) {
    const int64_t begin = cursor_.position();
    const int64_t elements = cursor_.element_count();
    if (f.id == field::file_metadata::kSchema) {
      ARROW_RETURN_NOT_OK(Expect(f, Type::kList));
      ARROW_RETURN_NOT_OK(Schema());
    } else {
      if (f.id == field::file_metadata::kKeyValueMetadata ||
          f.id == field::file_metadata::kColumnOrders) {
        ARROW_RETURN_NOT_OK(Expect(f, Type::kList));
      }
      cursor_.Skip(f.type, 1);
    }
    out_.header_elements += cursor_.element_count() - elements;
    ARROW_RETURN_NOT_OK(cursor_.status());
    const int64_t length = cursor_.position() - begin;
    out_.header_bytes += length + 4;
    if (charge_ == nullptr) return arrow::Status::OK();
    // Twice: the string's growth, and the piece on its way.
    ARROW_RETURN_NOT_OK(charge_->Resize(charge_->bytes() + 3 * length));
    Cursor again(input_, begin, begin + length);
    header->Raw(f.id, f.type, again.Bytes(length));
    // The input's window has moved.
    cursor_.Reload();
    return again.status();
  }

  arrow::Status Schema() {
    const ContainerHeader list = cursor_.List();
    if (list.element != Type::kStruct) return Refuse("schema elements are no structs");
    out_.schema_elements = static_cast<int64_t>(list.count);
    std::array<int64_t, kMaxSchemaDepth> open{};  // children still to come, by depth
    size_t depth = 0;
    for (uint64_t i = 0; i < list.count && cursor_.ok(); ++i) {
      StructScope scope;
      FieldHeader f;
      int64_t children = 0;
      while (cursor_.Next(&scope, &f)) {
        if (f.id == field::schema_element::kNumChildren) {
          ARROW_RETURN_NOT_OK(Expect(f, Type::kI32));
          children = cursor_.Integer(Type::kI32);
        } else {
          cursor_.Skip(f.type, 2);
        }
      }
      if (children < 0) return Refuse("negative number of children in the schema");
      if (children > 0) {
        if (depth == kMaxSchemaDepth) return Refuse("schema is nested too deeply");
        open[depth++] = children;
      } else {
        while (depth > 0 && --open[depth - 1] == 0) --depth;
      }
    }
    return cursor_.status();
  }

  arrow::Status RowGroups() {
    const ContainerHeader list = cursor_.List();
    if (list.count > 0 && list.element != Type::kStruct) return Refuse("row groups are no structs");
    if (static_cast<int64_t>(list.count) > int64_t{std::numeric_limits<int16_t>::max()} * 64) {
      return Refuse("too many row groups");
    }
    if (charge_ != nullptr) {
      const auto bytes = static_cast<int64_t>(list.count * sizeof(FooterIndex::RowGroup));
      ARROW_RETURN_NOT_OK(charge_->Resize(charge_->bytes() + bytes));
      out_.row_groups.reserve(static_cast<size_t>(list.count));
    }
    for (uint64_t i = 0; i < list.count; ++i) {
      ARROW_RETURN_NOT_OK(RowGroup(list.count));
      ARROW_RETURN_NOT_OK(cursor_.status());
    }
    return arrow::Status::OK();
  }

  arrow::Status RowGroup(uint64_t groups) {
    FooterIndex::RowGroup group;
    group.begin = FooterOffset();
    const int64_t elements = cursor_.element_count();
    StructScope scope;
    FieldHeader f;
    bool has_rows = false;
    while (cursor_.Next(&scope, &f)) {
      switch (f.id) {
        case field::row_group::kColumns:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kList));
          ARROW_RETURN_NOT_OK(Columns(groups));
          group.columns_end = FooterOffset();
          break;
        case field::row_group::kNumRows:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kI64));
          group.num_rows = cursor_.Integer(Type::kI64);
          has_rows = true;
          break;
        case field::row_group::kTotalByteSize:
        case field::row_group::kFileOffset:
        case field::row_group::kTotalCompressedSize:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kI64));
          cursor_.Skip(f.type, 2);
          break;
        case field::row_group::kSortingColumns:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kList));
          cursor_.Skip(f.type, 2);
          break;
        default: cursor_.Skip(f.type, 2);
      }
    }
    ARROW_RETURN_NOT_OK(cursor_.status());
    group.end = FooterOffset();
    if (group.columns_end == 0 || !has_rows || group.num_rows < 0) {
      return Refuse("a row group is incomplete");
    }
    ++out_.row_group_count;
    out_.widest_row_group_bytes =
        std::max<int64_t>(out_.widest_row_group_bytes, group.end - group.begin);
    out_.widest_row_group_elements =
        std::max(out_.widest_row_group_elements, cursor_.element_count() - elements);
    if (__builtin_add_overflow(rows_, group.num_rows, &rows_)) return Refuse("row counts overflow");
    if (charge_ != nullptr) out_.row_groups.push_back(group);
    return arrow::Status::OK();
  }

  arrow::Status Columns(uint64_t groups) {
    const ContainerHeader list = cursor_.List();
    const auto count = static_cast<int64_t>(list.count);
    if (count > 0 && list.element != Type::kStruct) return Refuse("column chunks are no structs");
    if (out_.row_group_count == 0) {
      out_.num_columns = count;
      const int64_t most = (out_.footer_end - out_.footer_begin) / kLeastChunkBytes;
      int64_t chunks = 0;
      if (__builtin_mul_overflow(count, static_cast<int64_t>(groups), &chunks) || chunks > most) {
        return Refuse("more column chunks than the footer has room for");
      }
      if (charge_ != nullptr) {
        const auto bytes = chunks * static_cast<int64_t>(sizeof(FooterIndex::Chunk));
        ARROW_RETURN_NOT_OK(charge_->Resize(charge_->bytes() + bytes));
        out_.chunks.reserve(static_cast<size_t>(chunks));
      }
    } else if (count != out_.num_columns) {
      return Refuse("row groups differ in their columns");
    }
    for (int64_t c = 0; c < count; ++c) {
      ARROW_RETURN_NOT_OK(Chunk());
      ARROW_RETURN_NOT_OK(cursor_.status());
    }
    return arrow::Status::OK();
  }

  arrow::Status Chunk() {
    FooterIndex::Chunk chunk;
    chunk.begin = FooterOffset();
    const int64_t elements = cursor_.element_count();
    StructScope scope;
    FieldHeader f;
    bool has_metadata = false;
    bool has_offset_index = false;
    bool has_column_index = false;
    while (cursor_.Next(&scope, &f)) {
      switch (f.id) {
        case field::column_chunk::kFilePath: return Refuse("a column chunk lies in another file");
        case field::column_chunk::kCryptoMetadata:
        case field::column_chunk::kEncryptedMetadata: return Refuse("it has encrypted columns");
        case field::column_chunk::kMetaData:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kStruct));
          ARROW_RETURN_NOT_OK(ChunkMetaData(&chunk));
          has_metadata = true;
          break;
        case field::column_chunk::kFileOffset:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kI64));
          cursor_.Skip(f.type, 4);
          break;
        case field::column_chunk::kOffsetIndexOffset:
        case field::column_chunk::kColumnIndexOffset: {
          ARROW_RETURN_NOT_OK(Expect(f, Type::kI64));
          const bool present = cursor_.Integer(Type::kI64) > 0;
          (f.id == field::column_chunk::kOffsetIndexOffset ? has_offset_index : has_column_index) =
              present;
          break;
        }
        case field::column_chunk::kOffsetIndexLength:
        case field::column_chunk::kColumnIndexLength:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kI32));
          cursor_.Skip(f.type, 4);
          break;
        default: cursor_.Skip(f.type, 4);
      }
    }
    ARROW_RETURN_NOT_OK(cursor_.status());
    if (!has_metadata) return Refuse("a column chunk has no metadata");
    chunk.has_page_index = has_offset_index && has_column_index;
    chunk.elements = static_cast<uint16_t>(std::min<int64_t>(cursor_.element_count() - elements,
                                                             std::numeric_limits<uint16_t>::max()));
    if (chunk.elements == std::numeric_limits<uint16_t>::max()) {
      return Refuse("the metadata of a column chunk is too large");
    }
    if (charge_ != nullptr) out_.chunks.push_back(chunk);
    return arrow::Status::OK();
  }

  arrow::Status ChunkMetaData(FooterIndex::Chunk* chunk) {
    StructScope scope;
    FieldHeader f;
    int64_t type = -1;
    int64_t values = -1;
    int64_t uncompressed = -1;
    int64_t compressed = -1;
    int64_t data = -1;
    int64_t dictionary = 0;
    const auto number = [&](Type expected, int64_t* to) {
      ARROW_RETURN_NOT_OK(Expect(f, expected));
      *to = cursor_.Integer(expected);
      return arrow::Status::OK();
    };
    namespace id = field::column_metadata;
    while (cursor_.Next(&scope, &f)) {
      int64_t ignored = 0;
      switch (f.id) {
        case id::kType: ARROW_RETURN_NOT_OK(number(Type::kI32, &type)); break;
        case id::kCodec: ARROW_RETURN_NOT_OK(number(Type::kI32, &ignored)); break;
        case id::kNumValues: ARROW_RETURN_NOT_OK(number(Type::kI64, &values)); break;
        case id::kTotalUncompressedSize:
          ARROW_RETURN_NOT_OK(number(Type::kI64, &uncompressed));
          break;
        case id::kTotalCompressedSize: ARROW_RETURN_NOT_OK(number(Type::kI64, &compressed)); break;
        case id::kDataPageOffset: ARROW_RETURN_NOT_OK(number(Type::kI64, &data)); break;
        case id::kDictionaryPageOffset: ARROW_RETURN_NOT_OK(number(Type::kI64, &dictionary)); break;
        case id::kIndexPageOffset: ARROW_RETURN_NOT_OK(number(Type::kI64, &ignored)); break;
        case id::kBloomFilterOffset:
          ARROW_RETURN_NOT_OK(number(Type::kI64, &ignored));
          chunk->has_bloom_filter = ignored > 0;
          break;
        case id::kBloomFilterLength: ARROW_RETURN_NOT_OK(number(Type::kI32, &ignored)); break;
        case id::kEncodings:
        case id::kPath:
        case id::kKeyValueMetadata:
        case id::kEncodingStats:
          ARROW_RETURN_NOT_OK(Expect(f, Type::kList));
          cursor_.Skip(f.type, 5);
          break;
        default: cursor_.Skip(f.type, 5);
      }
    }
    ARROW_RETURN_NOT_OK(cursor_.status());
    if (type < 0 || type > 7 || values < 0 || uncompressed < 0 || compressed < 0 || data < 0) {
      return Refuse("the metadata of a column chunk is incomplete");
    }
    chunk->physical_type = static_cast<uint8_t>(type);
    // Some writers set a dictionary offset of 0, or one behind the data, for "none". Arrow, given
    // no rows, writes an empty dictionary page and a data offset of 0.
    chunk->data_begin = dictionary > 0 && (dictionary < data || data == 0) ? dictionary : data;
    chunk->data_length = compressed;
    // A chunk without bytes (no rows, no dictionary) lies nowhere: Arrow writes offset 0.
    if (compressed == 0) return arrow::Status::OK();
    if (chunk->data_begin < 4 || chunk->data_begin > out_.footer_begin ||
        compressed > out_.footer_begin - chunk->data_begin) {
      return Refuse("a column chunk lies outside the file");
    }
    // Chunks that share bytes would make a copy larger than its base without bound.
    data_bytes_ += compressed;
    if (data_bytes_ > file_size_) return Refuse("column chunks overlap");
    return arrow::Status::OK();
  }

  uint32_t FooterOffset() const {
    return static_cast<uint32_t>(cursor_.position() - out_.footer_begin);
  }

  Cursor cursor_;
  thrift::Input* input_;
  const int64_t file_size_;
  Reservation* charge_;
  FooterIndex& out_;
  int64_t data_bytes_ = 0;
  int64_t rows_ = 0;
};

}  // namespace

arrow::Status ReadFooterIndex(thrift::Input* input, int64_t begin, int64_t end, int64_t file_size,
                              Reservation* charge, FooterIndex* out) {
  return FooterReader(input, begin, end, file_size, charge, out).Run();
}

int64_t FooterNeed(const FooterIndex& index) {
  const int64_t header = index.header_bytes;
  const int64_t kept =
      header + index.row_group_count * static_cast<int64_t>(sizeof(FooterIndex::RowGroup)) +
      index.row_group_count * index.num_columns * static_cast<int64_t>(sizeof(FooterIndex::Chunk)) +
      ParsedMetadataBytes(header, index.schema_elements, 0, index.header_elements);
  const int64_t group = index.widest_row_group_bytes;
  const int64_t parsed =
      ParsedMetadataBytes(header + group, index.schema_elements, index.num_columns,
                          index.header_elements + index.widest_row_group_elements) +
      header + 2 * group;
  return kept + parsed + ReaderBytes(index) + (64 << 10);
}

int64_t ReaderBytes(const FooterIndex& index) {
  return 700 * index.schema_elements + index.header_bytes;
}

int64_t ParsedMetadataBytes(int64_t bytes, int64_t schema_elements, int64_t chunks,
                            int64_t other_elements) {
  // Growth of the heap in use (mallinfo2) was at most 620 bytes a schema element beside twice the
  // bytes and its own containers' elements, and 830 a column chunk with all that belongs to it;
  // seen on flat files of 20 and 1,500 columns and on nested ones. The charge comes to 1.05 to 1.7
  // times what was taken; an element of any list takes 96 at most, however short its bytes.
  return 2 * bytes + 900 * schema_elements + 700 * chunks + 96 * other_elements + (8 << 10);
}

}  // namespace floodwall
