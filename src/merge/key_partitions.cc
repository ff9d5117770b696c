#include "merge/key_partitions.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <random>

#define XXH_INLINE_ALL
#include "arrow/vendored/xxhash.h"

namespace floodwall {
namespace {

constexpr int64_t kBatchKeys = 4096;
constexpr int64_t kBatchBytes = 1 << 20;

/// An inline key without a note.
struct FixedRecord {
  InlineKey key;
  int64_t number;
};

/// In front of the key's bytes and the note's.
struct RecordHead {
  int64_t number;
  uint32_t key_bytes;
  uint32_t note_bytes;
};

}  // namespace

KeyDealer::KeyDealer(int count) : count_(count) {
  std::random_device device;
  seed_ = (static_cast<uint64_t>(device()) << 32) | device();
}

int KeyDealer::PartitionOf(const KeyBatch& batch, int64_t row) const {
  const auto i = static_cast<size_t>(row);
  const uint64_t hash =
      batch.inlined.empty()
          ? XXH3_64bits_withSeed(batch.Bytes(row).data(), batch.Bytes(row).size(), seed_)
          : XXH3_64bits_withSeed(&batch.inlined[i], sizeof(InlineKey), seed_);
  __extension__ using Wide = unsigned __int128;
  return static_cast<int>((static_cast<Wide>(hash) * static_cast<uint64_t>(count_)) >> 64);
}

arrow::Result<std::unique_ptr<KeyPartitions>> KeyPartitions::Make(const KeySchema* schema,
                                                                  bool with_notes, int count,
                                                                  int64_t block_bytes,
                                                                  RunContext* context) {
  auto out = std::unique_ptr<KeyPartitions>(new KeyPartitions(schema, with_notes, context));
  ARROW_ASSIGN_OR_RAISE(out->streams_, SpillStreams::Make(context->spill.get(), count, block_bytes,
                                                          context->spill_pool));
  out->records_.resize(static_cast<size_t>(count));
  return out;
}

arrow::Status KeyPartitions::Append(int partition, const KeyBatch& batch, int64_t row,
                                    int64_t number, std::string_view note) {
  ++records_[static_cast<size_t>(partition)];
  const auto i = static_cast<size_t>(row);
  if (fixed()) {
    const FixedRecord record{batch.inlined[i], number};
    return streams_->Append(partition, &record, sizeof(record));
  }
  const std::string_view key =
      schema_->inlined
          ? std::string_view(reinterpret_cast<const char*>(&batch.inlined[i]), sizeof(InlineKey))
          : batch.Bytes(row);
  const RecordHead head{number, static_cast<uint32_t>(key.size()),
                        static_cast<uint32_t>(note.size())};
  ARROW_RETURN_NOT_OK(streams_->Append(partition, &head, sizeof(head)));
  ARROW_RETURN_NOT_OK(streams_->Append(partition, key.data(), static_cast<int64_t>(key.size())));
  return streams_->Append(partition, note.data(), static_cast<int64_t>(note.size()));
}

arrow::Status KeyPartitions::ForEachBatch(
    int partition, const std::function<arrow::Status(const KeyedBatch&)>& visit) const {
  ARROW_ASSIGN_OR_RAISE(auto reader, SpillStreams::Reader::Make(streams_.get(), partition));
  try {
    KeyedBatch batch(context_->read_pool);
    KeyBatch& keys = batch.keys;
    while (reader.left() > 0) {
      ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
      keys.inlined.clear();
      keys.bytes.clear();
      keys.offsets.assign(1, 0);
      keys.length = 0;
      batch.numbers.clear();
      batch.notes.clear();
      while (reader.left() > 0 && keys.length < kBatchKeys &&
             static_cast<int64_t>(keys.bytes.size()) < kBatchBytes) {
        ++keys.length;
        if (fixed()) {
          FixedRecord record;
          ARROW_RETURN_NOT_OK(reader.Read(&record, sizeof(record)));
          keys.inlined.push_back(record.key);
          batch.numbers.push_back(record.number);
          continue;
        }
        RecordHead head;
        ARROW_RETURN_NOT_OK(reader.Read(&head, sizeof(head)));
        batch.numbers.push_back(head.number);
        if (schema_->inlined) {
          keys.inlined.emplace_back();
          ARROW_RETURN_NOT_OK(reader.Read(&keys.inlined.back(), sizeof(InlineKey)));
        } else {
          const size_t start = keys.bytes.size();
          keys.bytes.resize(start + head.key_bytes);
          ARROW_RETURN_NOT_OK(reader.Read(keys.bytes.data() + start, head.key_bytes));
          keys.offsets.push_back(static_cast<int64_t>(keys.bytes.size()));
        }
        if (!with_notes_) continue;
        batch.notes.emplace_back(head.note_bytes, '\0');
        ARROW_RETURN_NOT_OK(reader.Read(batch.notes.back().data(), head.note_bytes));
      }
      // Nulls that match nothing were not appended.
      keys.has_null.assign(static_cast<size_t>(keys.length), 0);
      ARROW_RETURN_NOT_OK(visit(batch));
    }
    return arrow::Status::OK();
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to read spilled keys");
  }
}

}  // namespace floodwall
