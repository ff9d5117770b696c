#pragma once

/// Field ids of parquet-format's `parquet.thrift` that floodwall reads or changes.

#include <cstdint>

namespace floodwall::parquet_field {

namespace file_metadata {
inline constexpr int16_t kVersion = 1, kSchema = 2, kNumRows = 3, kRowGroups = 4,
                         kKeyValueMetadata = 5, kCreatedBy = 6, kColumnOrders = 7,
                         kEncryptionAlgorithm = 8, kFooterSigningKey = 9;
}
namespace schema_element {
inline constexpr int16_t kNumChildren = 5;
}
namespace row_group {
inline constexpr int16_t kColumns = 1, kTotalByteSize = 2, kNumRows = 3, kSortingColumns = 4,
                         kFileOffset = 5, kTotalCompressedSize = 6, kOrdinal = 7;
}
namespace sorting_column {
inline constexpr int16_t kColumnIndex = 1;
}
namespace column_chunk {
inline constexpr int16_t kFilePath = 1, kFileOffset = 2, kMetaData = 3, kOffsetIndexOffset = 4,
                         kOffsetIndexLength = 5, kColumnIndexOffset = 6, kColumnIndexLength = 7,
                         kCryptoMetadata = 8, kEncryptedMetadata = 9;
}
namespace column_metadata {
inline constexpr int16_t kType = 1, kEncodings = 2, kPath = 3, kCodec = 4, kNumValues = 5,
                         kTotalUncompressedSize = 6, kTotalCompressedSize = 7,
                         kKeyValueMetadata = 8, kDataPageOffset = 9, kIndexPageOffset = 10,
                         kDictionaryPageOffset = 11, kStatistics = 12, kEncodingStats = 13,
                         kBloomFilterOffset = 14, kBloomFilterLength = 15;
}
namespace page_header {
inline constexpr int16_t kType = 1, kUncompressedSize = 2, kCompressedSize = 3, kCrc = 4,
                         kDataPage = 5, kIndexPage = 6, kDictionaryPage = 7, kDataPageV2 = 8;
inline constexpr int64_t kTypeData = 0, kTypeIndex = 1, kTypeDictionary = 2, kTypeDataV2 = 3;
}  // namespace page_header
/// DataPageHeader.encoding and DataPageHeaderV2.encoding.
inline constexpr int16_t kDataPageEncoding = 2, kDataPageV2Encoding = 4;
namespace offset_index {
inline constexpr int16_t kPageLocations = 1;
}
namespace page_location {
inline constexpr int16_t kOffset = 1, kCompressedPageSize = 2;
}
namespace bloom_filter_header {
inline constexpr int16_t kNumBytes = 1;
}
/// Encoding enum: PLAIN_DICTIONARY and RLE_DICTIONARY.
inline constexpr int64_t kEncodingPlainDictionary = 2, kEncodingRleDictionary = 8;

}  // namespace floodwall::parquet_field
