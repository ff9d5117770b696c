#include "dataset/hybrid_codec.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "arrow/memory_pool.h"
#include "gtest/gtest.h"
#include "parquet/encoding.h"
#include "parquet/schema.h"

namespace floodwall {
namespace {

std::vector<uint32_t> RandomRuns(int bit_width, int64_t count, std::mt19937* random) {
  const uint64_t values = uint64_t{1} << bit_width;
  std::vector<uint32_t> out;
  while (static_cast<int64_t>(out.size()) < count) {
    const auto value = static_cast<uint32_t>((*random)() % values);
    const size_t run = (*random)() % 3 == 0 ? 1 + (*random)() % 40 : 1;
    for (size_t i = 0; i < run && static_cast<int64_t>(out.size()) < count; ++i) {
      out.push_back(value);
    }
  }
  return out;
}

std::shared_ptr<arrow::Buffer> EncodeWithParquet(const std::vector<uint32_t>& codes, int* width) {
  // A dictionary 0, 1, 2 ... in the order of first use makes indices of any kind.
  auto node = parquet::schema::PrimitiveNode::Make("c", parquet::Repetition::REQUIRED,
                                                   parquet::Type::INT32);
  const parquet::ColumnDescriptor column(node, 0, 0);
  auto base = parquet::MakeEncoder(parquet::Type::INT32, parquet::Encoding::PLAIN, true, &column);
  auto* encoder = dynamic_cast<parquet::DictEncoder<parquet::Int32Type>*>(base.get());
  const uint32_t entries = codes.empty() ? 0 : *std::max_element(codes.begin(), codes.end()) + 1;
  std::vector<int32_t> values(entries);
  std::iota(values.begin(), values.end(), 0);
  values.insert(values.end(), codes.begin(), codes.end());
  encoder->Put(values.data(), static_cast<int>(values.size()));
  *width = encoder->bit_width();
  return base->FlushValues();
}

TEST(HybridCodec, ReadsWhatItWritesAtEveryWidthAndLength) {
  std::mt19937 random(1);
  ByteBuffer bytes(arrow::default_memory_pool());
  for (int width = 0; width <= kMaxHybridBits; ++width) {
    for (const int64_t count : {0, 1, 7, 8, 9, 15, 16, 17, 64, 503, 504, 505, 512, 1000, 4099}) {
      const auto values = RandomRuns(width, count, &random);
      bytes.Clear();
      ASSERT_TRUE(EncodeHybrid(std::span<const uint32_t>(values), width, &bytes).ok());
      ASSERT_LE(bytes.size(), MaxHybridBytes(count, width));
      std::vector<uint32_t> read(values.size());
      ASSERT_TRUE(DecodeHybrid(bytes.span(), width, count, read.data()).ok());
      ASSERT_EQ(read, values) << width << " bits, " << count << " values";
      HybridCursor cursor(bytes.span(), width, count);
      for (int64_t i = 0; i < count; i += 1 + static_cast<int64_t>(random() % 20)) {
        ASSERT_EQ(cursor.At(i).ValueOrDie(), values[static_cast<size_t>(i)]);
      }
    }
  }
}

TEST(HybridCodec, RoundTripsAllSequencesOfTwelveBits) {
  ByteBuffer bytes(arrow::default_memory_pool());
  std::vector<uint8_t> values(12);
  std::vector<uint8_t> read(12);
  for (unsigned bits = 0; bits < 1U << 12; ++bits) {
    for (size_t i = 0; i < 12; ++i) values[i] = (bits >> i) & 1;
    bytes.Clear();
    ASSERT_TRUE(EncodeHybrid(std::span<const uint8_t>(values), 1, &bytes).ok());
    ASSERT_TRUE(DecodeHybridBytes(bytes.span(), 1, 12, read.data()).ok());
    ASSERT_EQ(read, values) << bits;
  }
}

TEST(HybridCodec, AgreesWithParquetsDictionaryEncoderAndDecoder) {
  std::mt19937 random(2);
  ByteBuffer bytes(arrow::default_memory_pool());
  for (int round = 0; round < 400; ++round) {
    const auto values =
        RandomRuns(static_cast<int>(random() % 18), static_cast<int64_t>(random() % 3000), &random);
    int width = 0;
    const auto theirs = EncodeWithParquet(values, &width);
    const auto entries = static_cast<size_t>(
        values.empty() ? 0 : *std::max_element(values.begin(), values.end()) + 1);
    std::vector<uint32_t> read(values.size() + entries);
    ASSERT_TRUE(DecodeHybrid({theirs->data() + 1, static_cast<size_t>(theirs->size() - 1)}, width,
                             static_cast<int64_t>(read.size()), read.data())
                    .ok());
    ASSERT_TRUE(
        std::equal(values.begin(), values.end(), read.begin() + static_cast<int64_t>(entries)));
    bytes.Clear();
    ASSERT_TRUE(bytes.AppendByte(static_cast<uint8_t>(width)).ok());
    ASSERT_TRUE(EncodeHybrid(std::span<const uint32_t>(values), width, &bytes).ok());
    auto decoder = parquet::MakeDictDecoder<parquet::Int32Type>();
    auto plain = parquet::MakeTypedDecoder<parquet::Int32Type>(parquet::Encoding::PLAIN);
    std::vector<int32_t> dictionary(entries);
    std::iota(dictionary.begin(), dictionary.end(), 0);
    plain->SetData(static_cast<int>(entries), reinterpret_cast<uint8_t*>(dictionary.data()),
                   static_cast<int>(4 * entries));
    decoder->SetDict(plain.get());
    decoder->SetData(static_cast<int>(values.size()), bytes.data(), static_cast<int>(bytes.size()));
    std::vector<int32_t> back(values.size());
    ASSERT_EQ(decoder->Decode(back.data(), static_cast<int>(back.size())),
              static_cast<int>(values.size()));
    ASSERT_TRUE(std::equal(values.begin(), values.end(), back.begin()));
  }
}

TEST(HybridCodec, PutsIntoPackedRunsOnly) {
  std::mt19937 random(3);
  ByteBuffer bytes(arrow::default_memory_pool());
  int put = 0;
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    const int width = 1 + static_cast<int>(random() % 32);
    auto values = RandomRuns(width, 600, &random);
    bytes.Clear();
    ASSERT_TRUE(EncodeHybrid(std::span<const uint32_t>(values), width, &bytes).ok());
    HybridCursor cursor(bytes.span(), width, 600);
    for (int64_t i = static_cast<int64_t>(random() % 9); i < 600; i += 1 + random() % 30) {
      const auto value = static_cast<uint32_t>(random() % (uint64_t{1} << width));
      ASSERT_TRUE(cursor.At(i).ok());
      if (cursor.Put(value)) {
        values[static_cast<size_t>(i)] = value;
        ++put;
      } else {
        ++refused;
      }
      ASSERT_TRUE(width == 32 || !cursor.Put(uint32_t{1} << width));
    }
    std::vector<uint32_t> read(600);
    ASSERT_TRUE(DecodeHybrid(bytes.span(), width, 600, read.data()).ok());
    ASSERT_EQ(read, values);
  }
  EXPECT_GT(put, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(HybridCodec, RefusesWhatEndsEarlyAndSurvivesNoise) {
  std::mt19937 random(4);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    // Exactly as long as the allocation, so that a sanitizer sees a byte too many.
    std::vector<uint8_t> noise(random() % 40);
    for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
    const int width = static_cast<int>(random() % 33);
    std::vector<uint32_t> out(300);
    if (!DecodeHybrid(noise, width, 300, out.data()).ok()) ++refused;
    HybridCursor cursor(noise, width, 300);
    for (int64_t i = 0; i < 300; i += 37) {
      if (!cursor.At(i).ok()) break;
      (void)cursor.Put(static_cast<uint32_t>(random()));
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_LT(refused, 20000);
  ByteBuffer bytes(arrow::default_memory_pool());
  const std::vector<uint32_t> values = RandomRuns(5, 1000, &random);
  ASSERT_TRUE(EncodeHybrid(std::span<const uint32_t>(values), 5, &bytes).ok());
  std::vector<uint32_t> out(1000);
  for (size_t cut = 0; cut < static_cast<size_t>(bytes.size()); ++cut) {
    EXPECT_FALSE(DecodeHybrid(bytes.span().first(cut), 5, 1000, out.data()).ok());
  }
}

}  // namespace
}  // namespace floodwall
