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
namespace key_value {
inline constexpr int16_t kKey = 1, kValue = 2;
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
                         kBloomFilterOffset = 14, kBloomFilterLength = 15, kSizeStatistics = 16,
                         kGeospatialStatistics = 17;
}
namespace statistics {
inline constexpr int16_t kNullCount = 3, kMax = 5, kMin = 6, kMaxExact = 7, kMinExact = 8;
}
namespace encoding_stats {
inline constexpr int16_t kPageType = 1, kEncoding = 2, kCount = 3;
}
namespace size_statistics {
inline constexpr int16_t kUnencodedBytes = 1, kDefinitionHistogram = 3;
}
namespace column_index {
inline constexpr int16_t kNullPages = 1, kMinValues = 2, kMaxValues = 3, kBoundaryOrder = 4,
                         kNullCounts = 5, kDefinitionHistograms = 7;
inline constexpr int64_t kUnordered = 0, kAscending = 1, kDescending = 2;
}  // namespace column_index
namespace page_header {
inline constexpr int16_t kType = 1, kUncompressedSize = 2, kCompressedSize = 3, kCrc = 4,
                         kDataPage = 5, kIndexPage = 6, kDictionaryPage = 7, kDataPageV2 = 8;
inline constexpr int64_t kTypeData = 0, kTypeIndex = 1, kTypeDictionary = 2, kTypeDataV2 = 3;
}  // namespace page_header
/// DataPageHeader.encoding and DataPageHeaderV2.encoding.
inline constexpr int16_t kDataPageEncoding = 2, kDataPageV2Encoding = 4;
/// In both versions of the data page header and in that of a dictionary page.
inline constexpr int16_t kPageNumValues = 1;
namespace data_page {
inline constexpr int16_t kDefinitionEncoding = 3, kStatistics = 5;
}
namespace data_page_v2 {
inline constexpr int16_t kNumNulls = 2, kNumRows = 3, kDefinitionBytes = 5, kRepetitionBytes = 6,
                         kIsCompressed = 7, kStatistics = 8;
}
namespace offset_index {
inline constexpr int16_t kPageLocations = 1, kUnencodedBytes = 2;
}
namespace page_location {
inline constexpr int16_t kOffset = 1, kCompressedPageSize = 2, kFirstRow = 3;
}
namespace bloom_filter_header {
inline constexpr int16_t kNumBytes = 1, kAlgorithm = 2, kHash = 3, kCompression = 4;
/// Of the three unions, the only member there is: split blocks, XXH64, not compressed.
inline constexpr int16_t kOnlyMember = 1;
}  // namespace bloom_filter_header
/// Encoding enum.
inline constexpr int64_t kEncodingPlain = 0, kEncodingPlainDictionary = 2, kEncodingRle = 3,
                         kEncodingDeltaBinaryPacked = 5, kEncodingDeltaLengthByteArray = 6,
                         kEncodingDeltaByteArray = 7, kEncodingRleDictionary = 8,
                         kEncodingByteStreamSplit = 9;

}  // namespace floodwall::parquet_field
