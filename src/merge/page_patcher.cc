#include "merge/page_patcher.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "dataset/hybrid_codec.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/byte_array_sizes.h"
#include "parquet/exception.h"

namespace floodwall {
namespace {

namespace field = parquet_field;

}  // namespace

arrow::Status PageLevels::Load(const LoadedPage& page, bool optional, int64_t rows) {
  all_defined_ = true;
  num_defined_ = rows;
  Rewind();
  if (!optional || rows == 0) return arrow::Status::OK();
  HybridCursor cursor(page.levels, 1, rows);
  ARROW_ASSIGN_OR_RAISE(const int64_t run, cursor.RunLeft(0));
  if (run == rows && cursor.repeated() && cursor.repeated_value() == 1) return arrow::Status::OK();
  levels_.Clear();
  ARROW_RETURN_NOT_OK(levels_.Resize(rows));
  ARROW_RETURN_NOT_OK(DecodeHybridBytes(page.levels, 1, rows, levels_.data()));
  num_defined_ = std::count(levels_.data(), levels_.data() + rows, uint8_t{1});
  all_defined_ = num_defined_ == rows;
  return arrow::Status::OK();
}

int64_t PageLevels::ValuesBefore(int64_t row) {
  if (all_defined_) return row;
  values_ += std::count(levels_.data() + row_, levels_.data() + row, uint8_t{1});
  row_ = row;
  return values_;
}

bool PagePatcher::CanPatch(const BaseChunk& chunk, const ChunkPages& pages) {
  const parquet::ColumnDescriptor& column = *chunk.descr;
  if (!pages.plain_layout || column.max_repetition_level() > 0 ||
      column.max_definition_level() > 1 || column.path()->ToDotVector().size() != 1) {
    return false;
  }
  if (chunk.compression != arrow::Compression::UNCOMPRESSED &&
      !arrow::util::Codec::IsAvailable(chunk.compression)) {
    return false;
  }
  for (size_t encoding = 0; encoding < pages.encodings.size(); ++encoding) {
    if (pages.encodings.test(encoding) &&
        !PageValues::Supports(static_cast<int64_t>(encoding), column)) {
      return false;
    }
  }
  return !pages.uses_dictionary() || pages.dictionary.has_value();
}

arrow::Result<int64_t> PagePatcher::Need(const BaseChunk& chunk, const ChunkPages& pages,
                                         int64_t num_edits, int64_t longest, GuardedPool* pool) {
  const int64_t rows = pages.max_values;
  const int64_t edits = std::min(rows, num_edits);
  const int64_t page = pages.max_uncompressed_bytes;
  const int64_t added_bytes = std::min(MostGrowth(page) + longest, edits * (longest + 4));
  int64_t grown = page + added_bytes;
  int64_t decoded_bytes = 0;
  if (pages.Uses(field::kEncodingDeltaByteArray)) {
    // All values of a page are decoded, and behind each edit one may be written out whole that
    // shared a prefix.
    ARROW_ASSIGN_OR_RAISE(const ByteArraySizes sizes,
                          MeasureByteArrays(chunk, pages, INT64_MAX, pool));
    decoded_bytes = sizes.page_bytes + 2 * sizes.longest;
    grown += std::min(sizes.page_bytes, (edits + 1) * sizes.longest);
  }
  int64_t largest = grown;  // that is compressed
  const bool byte_arrays = chunk.descr->physical_type() == parquet::Type::BYTE_ARRAY;
  // New values: those to come, and those of the page.
  int64_t need = NewValues::Need(num_edits, longest) + added_bytes + num_edits / 8;
  need += pages.max_compressed_bytes + page + grown + 2 * rows +
          edits * static_cast<int64_t>(sizeof(RowEdit) + sizeof(ValueEdit) + 2);
  const bool indices = pages.uses_dictionary();
  std::bitset<64> others = pages.encodings;
  for (const int64_t encoding :
       {field::kEncodingPlain, field::kEncodingPlainDictionary, field::kEncodingRleDictionary}) {
    others.reset(static_cast<size_t>(encoding));
  }
  const bool decoded = chunk.descr->physical_type() == parquet::Type::BOOLEAN || others.any();
  if (indices || decoded) need += 8 * (rows + edits);
  if (decoded) need += 24 * rows + 3 * grown + decoded_bytes;
  if (indices && pages.dictionary) {
    const int64_t bytes = pages.dictionary->uncompressed_bytes;
    const int64_t limit = ChunkDictionary::Limit(bytes);
    const int64_t added = std::min(num_edits * longest, limit);
    if (longest > 0 && bytes + num_edits * (longest + 4) > limit) {
      // A page whose new values find no room has all its entries written out, in parts.
      const int64_t part = std::min(rows * bytes, MostGrowth(page) + bytes) + added_bytes;
      need += part;
      largest = std::max(largest, part);
    }
    need += pages.dictionary->compressed_bytes + bytes +
            (byte_arrays ? 4 * (int64_t{pages.dictionary->num_values} + 1) : 0) + 2 * added +
            bytes + ChunkDictionary::kTableBytes * std::min(num_edits, limit / 4);
    largest = std::max(largest, bytes + added);
  }
  // The indexes, and a filter as read, parsed, changed and written.
  const int64_t indexes = PatchedIndexes::BytesAfter(chunk.tree, pages, num_edits, longest);
  ARROW_ASSIGN_OR_RAISE(const auto bloom,
                        chunk.file->FindBloomFilter(chunk.row_group, chunk.column));
  need += PatchedIndexes::Need(chunk.tree, indexes) + 4 * bloom.length;
  // Codecs ask for a sixth more than the input, a little more for small ones.
  need += largest + largest / 4 + 64 * kKiB;
  return need + pages.num_pages * ListedPages::kBytesPerPage + 512 * kKiB;
}

PagePatcher::PagePatcher(const BaseChunk* chunk, const ListedPages* pages,
                         const std::vector<RowMatch>* edits, const ColumnRecoder::TakeValues* take,
                         RunContext* context)
    : chunk_(chunk),
      pages_(pages),
      edits_(edits),
      take_(take),
      context_(context),
      pool_(context->encode_pool),
      optional_(chunk->descr->max_definition_level() > 0),
      byte_arrays_(chunk->descr->physical_type() == parquet::Type::BYTE_ARRAY),
      order_(chunk->descr),
      loader_(pool_),
      dictionary_(pool_),
      fresh_(edits, take, chunk->descr, pool_),
      compressed_(pool_),
      differs_(pool_),
      levels_(pool_),
      row_edits_(arrow::stl::allocator<RowEdit>(pool_)),
      value_edits_(arrow::stl::allocator<ValueEdit>(pool_)),
      body_(pool_),
      new_levels_(pool_),
      new_bytes_(pool_) {}

arrow::Status PagePatcher::Corrupt(const char* why) const {
  return MakeError(ErrorKind::kUnsupportedFile, std::string("cannot patch a column (") + why +
                                                    "): '" + chunk_->file->path() + "'");
}

arrow::Result<bool> PagePatcher::Run(const Begin& begin, std::vector<uint8_t>* changed) {
  try {
    return RunPages(begin, changed);
  } catch (const parquet::ParquetStatusException& e) {
    return e.status();
  } catch (const parquet::ParquetException& e) {
    return Corrupt(e.what());
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to patch a column of '", chunk_->file->path(),
                                      "'");
  }
}

arrow::Result<bool> PagePatcher::RunPages(const Begin& begin, std::vector<uint8_t>* changed) {
  if (pages_->num_values != chunk_->num_rows) return Corrupt("its rows are not its row group's");
  ARROW_RETURN_NOT_OK(loader_.Open(*chunk_));
  ARROW_ASSIGN_OR_RAISE(const bool first_compares, NeedsComparison());
  if (first_compares) ARROW_RETURN_NOT_OK(Compare());
  int64_t row = 0;
  size_t next = 0;  // edit
  for (size_t p = 0; p < pages_->data.size() && (out_ || next < edits_->size()); ++p) {
    const int64_t first_row = row;
    const size_t first = next;
    row += pages_->data[p].num_values;
    bool differs = false;
    for (; next < edits_->size() && (*edits_)[next].row < row; ++next) differs |= MayDiffer(next);
    if (!differs) continue;
    ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
    ARROW_RETURN_NOT_OK(EditPage(begin, p, first, next, first_row, changed));
  }
  if (next < edits_->size()) return Corrupt("it has fewer rows than its row group");
  if (!out_) return false;
  ARROW_RETURN_NOT_OK(out_->CopyPages(copied_, pages_->data.size()));
  ARROW_RETURN_NOT_OK(out_->Finish(only_rows_removed_));
  return true;
}

arrow::Result<bool> PagePatcher::NeedsComparison() {
  if (!pages_->dictionary || edits_->empty()) return false;
  ARROW_RETURN_NOT_OK(fresh_.Seek(0));
  return !fresh_.Holds(edits_->size() - 1);
}

arrow::Status PagePatcher::Compare() {
  const auto bytes = (std::ssize(*edits_) + 7) / 8;
  ARROW_RETURN_NOT_OK(differs_.Resize(bytes));
  std::memset(differs_.data(), 0, static_cast<size_t>(bytes));
  int64_t row = 0;
  size_t next = 0;
  for (size_t p = 0; p < pages_->data.size() && next < edits_->size(); ++p) {
    const int64_t first_row = row;
    const size_t first = next;
    row += pages_->data[p].num_values;
    while (next < edits_->size() && (*edits_)[next].row < row) ++next;
    if (first == next) continue;
    ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
    ARROW_RETURN_NOT_OK(ComparePage(p, first, next, first_row));
  }
  fresh_.SkipOthers(differs_.data());
  compared_ = true;
  return arrow::Status::OK();
}

arrow::Status PagePatcher::ComparePage(size_t page, size_t first, size_t last, int64_t first_row) {
  // Only those of dictionary pages have to be known beforehand.
  bool compares = false;
  if (pages_->data[page].dictionary_encoded()) {
    for (size_t i = first; i < last && !compares; ++i) compares = !fresh_.removes(i);
  }
  if (compares) ARROW_RETURN_NOT_OK(LoadPage(page));
  for (size_t i = first; i < last; ++i) {
    if (compares && !fresh_.removes(i)) {
      RowEdit edit;
      ARROW_ASSIGN_OR_RAISE(const bool differs, ReadEdit(i, (*edits_)[i].row - first_row, &edit));
      if (!differs) continue;
      if (edit.value.inserts) ARROW_RETURN_NOT_OK(dictionary_.Want(edit.value.value));
    }
    uint8_t& bits = differs_.data()[i / 8];
    bits = static_cast<uint8_t>(bits | 1 << (i % 8));
  }
  return arrow::Status::OK();
}

arrow::Result<bool> PagePatcher::ReadEdit(size_t i, int64_t row, RowEdit* out) {
  ARROW_RETURN_NOT_OK(fresh_.Seek(i));
  out->row = static_cast<int32_t>(row);
  out->removes = fresh_.removes(i);
  out->value.index = static_cast<int32_t>(levels_.ValuesBefore(row));
  out->value.erases = levels_.defined(row);
  out->value.inserts = !out->removes && fresh_.defined(i);
  if (out->value.erases) {
    ARROW_ASSIGN_OR_RAISE(out->old, values_->At(out->value.index));
  }
  if (out->value.inserts) out->value.value = fresh_.value(i);
  return out->removes || out->value.erases != out->value.inserts || out->old != out->value.value;
}

arrow::Status PagePatcher::LoadPage(size_t page) {
  const PageEntry& entry = pages_->data[page];
  values_.reset();
  ARROW_ASSIGN_OR_RAISE(page_, loader_.Load(entry));
  ARROW_RETURN_NOT_OK(levels_.Load(page_, optional_, entry.num_values));
  if (entry.dictionary_encoded() && !dictionary_.loaded()) {
    ARROW_RETURN_NOT_OK(dictionary_.Load(*chunk_, *pages_->dictionary));
  }
  ARROW_ASSIGN_OR_RAISE(values_, PageValues::Make(entry.encoding, *chunk_->descr, page_.values,
                                                  levels_.num_defined(), &dictionary_, pool_));
  return arrow::Status::OK();
}

int64_t PagePatcher::MostGrowth(int64_t page_bytes) { return std::max(kMiB, page_bytes); }

arrow::Status PagePatcher::EditPage(const Begin& begin, size_t page, size_t first, size_t last,
                                    int64_t first_row, std::vector<uint8_t>* changed) {
  ARROW_RETURN_NOT_OK(LoadPage(page));
  row_edits_.clear();
  // Growing step by step would take three times what Need() counts.
  row_edits_.reserve(last - first);
  new_bytes_.Clear();
  const int64_t rows = pages_->data[page].num_values;
  const int64_t growth = MostGrowth(pages_->data[page].uncompressed_bytes);
  int64_t done = 0;   // rows of the page that are written
  int64_t added = 0;  // bytes of new values in row_edits_
  const auto patch_until = [&](int64_t end) -> arrow::Status {
    if (!out_) ARROW_RETURN_NOT_OK(StartChunk(begin, page, first, first_row));
    ARROW_RETURN_NOT_OK(out_->CopyPages(copied_, page));
    copied_ = page + 1;
    ARROW_RETURN_NOT_OK(PatchPart(page, done, end));
    done = end;
    added = 0;
    row_edits_.clear();
    new_bytes_.Clear();
    return arrow::Status::OK();
  };
  for (size_t i = first; i < last; ++i) {
    if (!MayDiffer(i)) continue;
    const int64_t row = (*edits_)[i].row - first_row;
    RowEdit edit;
    ARROW_ASSIGN_OR_RAISE(const bool differs, ReadEdit(i, row, &edit));
    if (!differs) continue;
    // New values may be large: a page that would more than double is divided.
    const auto bytes = static_cast<int64_t>(edit.value.value.size());
    if (added + bytes > growth && row > done) ARROW_RETURN_NOT_OK(patch_until(row));
    added += bytes;
    if (!edit.removes) {
      (*changed)[i] = 1;
      only_rows_removed_ = false;
    }
    if (edit.value.inserts) {
      // Another slice may be loaded before the page is patched.
      ARROW_RETURN_NOT_OK(new_bytes_.Append(edit.value.value.data(), bytes));
    }
    row_edits_.push_back(edit);
  }
  return row_edits_.empty() && done == 0 ? arrow::Status::OK() : patch_until(rows);
}

arrow::Status PagePatcher::StartChunk(const Begin& begin, size_t page, size_t first_edit,
                                      int64_t first_row) {
  ARROW_ASSIGN_OR_RAISE(out_,
                        PatchedChunk::Make(chunk_, pages_, &order_, &loader_, &compressed_, pool_));
  ARROW_ASSIGN_OR_RAISE(ParquetAssembler * assembler, begin());
  out_->Start(assembler);
  if (!pages_->dictionary) return arrow::Status::OK();
  if (!compared_) ARROW_RETURN_NOT_OK(ResolveValues(page, first_edit, first_row));
  if (dictionary_.loaded()) ARROW_RETURN_NOT_OK(dictionary_.Resolve());
  return dictionary_.loaded() ? dictionary_.WriteTo(out_.get()) : out_->CopyDictionary();
}

arrow::Status PagePatcher::ResolveValues(size_t page, size_t first_edit, int64_t first_row) {
  size_t next = first_edit;
  int64_t row = first_row;
  for (size_t p = page; p < pages_->data.size(); ++p) {
    row += pages_->data[p].num_values;
    const size_t first = next;
    while (next < edits_->size() && (*edits_)[next].row < row) ++next;
    if (first == next || !pages_->data[p].dictionary_encoded()) continue;
    if (!dictionary_.loaded()) {
      ARROW_RETURN_NOT_OK(dictionary_.Load(*chunk_, *pages_->dictionary));
    }
    for (size_t i = first; i < next; ++i) {
      ARROW_RETURN_NOT_OK(fresh_.Seek(i));
      if (fresh_.removes(i) || !fresh_.defined(i)) continue;
      ARROW_RETURN_NOT_OK(dictionary_.Want(fresh_.value(i)));
    }
  }
  return arrow::Status::OK();
}

}  // namespace floodwall
