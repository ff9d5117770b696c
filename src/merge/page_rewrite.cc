// The half of PagePatcher that makes a changed page out of a compared one.

#include <algorithm>
#include <cstring>

#include "dataset/hybrid_codec.h"
#include "dataset/parquet_thrift.h"
#include "floodwall/bytes.h"
#include "merge/page_patcher.h"

namespace floodwall {

std::vector<int64_t> PagePatcher::SplitRows(size_t page, int64_t begin, int64_t end,
                                            bool as_plain) const {
  std::vector<int64_t> starts{begin};
  if (as_plain) {
    // Entries of a dictionary that are written out may be large, too.
    const int64_t most_rows = std::max<int64_t>(
        1, MostGrowth(pages_->data[page].uncompressed_bytes) / (dictionary_.max_length() + 4));
    while (end - starts.back() > most_rows) starts.push_back(starts.back() + most_rows);
  }
  starts.push_back(end);
  return starts;
}

arrow::Status PagePatcher::PatchPart(size_t page, int64_t begin, int64_t end) {
  const PageEntry& entry = pages_->data[page];
  const bool whole = begin == 0 && end == entry.num_values;
  const char* at = reinterpret_cast<const char*>(new_bytes_.data());
  for (RowEdit& edit : row_edits_) {
    if (!edit.value.inserts) continue;
    edit.value.value = {at, edit.value.value.size()};
    at += edit.value.value.size();
  }
  bool as_plain = false;
  if (entry.dictionary_encoded()) {
    for (RowEdit& edit : row_edits_) {
      if (!edit.value.inserts) continue;
      edit.value.code = dictionary_.Find(edit.value.value);
      as_plain |= edit.value.code == ChunkDictionary::kNoCode;
    }
  }
  if (begin == 0) {
    ARROW_ASSIGN_OR_RAISE(page_bounds_, out_->PageBounds(page, page_.header));
  }
  for (const RowEdit& edit : row_edits_) {
    if (edit.value.erases) {
      page_bounds_.Removed(edit.old);
      out_->bounds().Removed(edit.old);
    }
    if (edit.value.inserts) {
      out_->bounds().Added(edit.value.value);
      out_->NoteNewValue(edit.value.value);
    }
  }
  levels_.Rewind();
  const std::vector<int64_t> starts = SplitRows(page, begin, end, as_plain);
  std::span<const RowEdit> rest(row_edits_);
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    size_t n = 0;
    while (n < rest.size() && rest[n].row < starts[i + 1]) ++n;
    ARROW_RETURN_NOT_OK(PatchRows(page, starts[i], starts[i + 1], rest.first(n),
                                  whole && starts.size() == 2, as_plain));
    rest = rest.subspan(n);
  }
  return arrow::Status::OK();
}

arrow::Result<int64_t> PagePatcher::AppendLevels(const PageEntry& entry, int64_t begin, int64_t end,
                                                 std::span<const RowEdit> edits, bool kept) {
  if (!optional_) return 0;
  const int64_t start = body_.size();
  if (!entry.v2) ARROW_RETURN_NOT_OK(body_.AppendUint32(0));
  if (kept) {
    ARROW_RETURN_NOT_OK(body_.Append(page_.levels.data(), std::ssize(page_.levels)));
  } else {
    ARROW_RETURN_NOT_OK(new_levels_.Resize(end - begin));
    uint8_t* to = new_levels_.data();
    size_t next = 0;
    for (int64_t row = begin; row < end; ++row) {
      if (next < edits.size() && edits[next].row == row) {
        const RowEdit& edit = edits[next++];
        if (!edit.removes) *to++ = edit.value.inserts ? 1 : 0;
      } else {
        *to++ = levels_.defined(row) ? 1 : 0;
      }
    }
    ARROW_RETURN_NOT_OK(EncodeHybrid(
        std::span<const uint8_t>(new_levels_.data(), static_cast<size_t>(to - new_levels_.data())),
        1, &body_));
  }
  if (!entry.v2) {
    const auto length = static_cast<uint32_t>(body_.size() - start - 4);
    std::memcpy(body_.data() + start, &length, sizeof(length));
  }
  return body_.size() - start;
}

arrow::Status PagePatcher::PatchRows(size_t page, int64_t begin, int64_t end,
                                     std::span<const RowEdit> edits, bool whole, bool as_plain) {
  const PageEntry& entry = pages_->data[page];
  const int64_t first_value = levels_.ValuesBefore(begin);
  const int64_t last_value = levels_.ValuesBefore(end);
  PageChange change{.bounds = page_bounds_};
  change.rows_before = end - begin;
  change.nulls_before = change.rows_before - (last_value - first_value);
  change.rows = change.rows_before;
  change.nulls = change.nulls_before;
  change.whole = whole;
  bool levels_change = !whole;
  value_edits_.clear();
  value_edits_.reserve(edits.size());
  for (const RowEdit& edit : edits) {
    change.rows -= edit.removes ? 1 : 0;
    change.nulls += (edit.removes || edit.value.inserts ? 0 : 1) - (edit.value.erases ? 0 : 1);
    levels_change |= edit.removes || edit.value.erases != edit.value.inserts;
    if (edit.value.inserts) change.bounds.Added(edit.value.value);
    if (byte_arrays_) {
      change.value_bytes_delta += std::ssize(edit.value.value) - std::ssize(edit.old);
    }
    if (edit.value.erases || edit.value.inserts) value_edits_.push_back(edit.value);
  }
  if (change.rows == 0) {
    out_->DropPage(change);
    return arrow::Status::OK();
  }
  const int64_t encoding = as_plain ? parquet_field::kEncodingPlain : entry.encoding;
  if (whole && !as_plain) {
    ARROW_ASSIGN_OR_RAISE(const bool done, values_->ApplyInPlace(value_edits_));
    if (done && !levels_change) {
      return out_->WritePage(page, page_.header, page_.body, std::ssize(page_.levels), encoding,
                             change);
    }
    if (done) value_edits_.clear();  // they are in the page's own bytes
  }
  body_.Clear();
  ARROW_ASSIGN_OR_RAISE(const int64_t levels,
                        AppendLevels(entry, begin, end, edits, !levels_change));
  if (as_plain) {
    ARROW_RETURN_NOT_OK(AppendAsPlain(page_.values, levels_.num_defined(), *chunk_->descr,
                                      dictionary_, value_edits_, first_value, last_value, &body_));
  } else {
    ARROW_RETURN_NOT_OK(values_->Append(value_edits_, first_value, last_value, &body_));
  }
  return out_->WritePage(page, page_.header, body_.span(), levels, encoding, change);
}

}  // namespace floodwall
