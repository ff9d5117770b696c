#include "merge/field_recoder.h"

#include <algorithm>

#include "arrow/array/concatenate.h"
#include "arrow/builder.h"
#include "arrow/compare.h"
#include "arrow/compute/api.h"
#include "floodwall/bytes.h"
#include "floodwall/error.h"
#include "merge/fit_values.h"
#include "merge/one_column_file.h"
#include "merge/parquet_rows.h"
#include "parquet/arrow/schema.h"
#include "parquet/exception.h"

namespace floodwall {
namespace {

/// Decoded bytes a batch should have; Arrow values of one batch exist three times at once.
constexpr int64_t kBatchBytes = kMiB;
constexpr int64_t kMaxBatchRows = 8192;

int64_t UncompressedBytes(const parquet::FileMetaData& metadata, const FieldPlan& plan) {
  int64_t bytes = 0;
  for (int leaf = plan.leaf; leaf < plan.leaf + plan.leaf_count; ++leaf) {
    bytes += metadata.RowGroup(0)->ColumnChunk(leaf)->total_uncompressed_size();
  }
  return bytes;
}

/// The codec, encodings and indexes of the column as it is.
arrow::Result<std::shared_ptr<parquet::WriterProperties>> StyleOf(const ParquetSource& file,
                                                                  int row_group,
                                                                  const FieldPlan& plan,
                                                                  GuardedPool* pool) {
  parquet::WriterProperties::Builder builder;
  builder.memory_pool(pool)->max_row_group_length(INT64_MAX)->data_pagesize(kMiB);
  bool page_index = false;
  ARROW_ASSIGN_OR_RAISE(const auto metadata, file.RowGroupMetadata(row_group));
  if (plan.added) {
    // Mostly nulls: no dictionary, which keeps the encoder small.
    builder.disable_dictionary();
    if (file.num_columns() > 0) {
      builder.compression(metadata->RowGroup(0)->ColumnChunk(0)->compression());
      page_index = file.has_page_index(row_group, 0);
    }
  }
  for (int leaf = plan.leaf; leaf < plan.leaf + plan.leaf_count; ++leaf) {
    const auto path = file.schema().Column(leaf)->path();
    const auto chunk = metadata->RowGroup(0)->ColumnChunk(leaf);
    ARROW_ASSIGN_OR_RAISE(const PageSummary pages, file.ScanPages(row_group, leaf));
    builder.compression(path, chunk->compression());
    if (pages.data_page_v2) builder.data_page_version(parquet::ParquetDataPageVersion::V2);
    if (pages.has_crc) builder.enable_page_checksum();
    if (!pages.all_dictionary_encoded) {
      builder.disable_dictionary(path);
      if (pages.fallback_encoding > 0) {
        builder.encoding(path, static_cast<parquet::Encoding::type>(pages.fallback_encoding));
      }
    }
    page_index |= file.has_page_index(row_group, leaf);
  }
  if (page_index) builder.enable_write_page_index();
  return builder.build();
}

}  // namespace

arrow::Result<int64_t> FieldRecoder::Need(const ParquetSource& file, int row_group,
                                          const FieldPlan& plan) {
  const int64_t rows = file.row_group_rows(row_group);
  ARROW_ASSIGN_OR_RAISE(const auto metadata, file.RowGroupMetadata(row_group));
  int64_t need = 0;
  for (int leaf = plan.leaf; leaf < plan.leaf + plan.leaf_count; ++leaf) {
    ARROW_ASSIGN_OR_RAISE(const PageSummary pages, file.ScanPages(row_group, leaf));
    const int64_t compressed = file.chunk_range(row_group, leaf).length;
    const int64_t values = metadata->RowGroup(0)->ColumnChunk(leaf)->num_values();
    // The buffered row group keeps its pages until the end, also where ColumnRecoder would not.
    need += ColumnRecoder::EncodeNeed(pages, compressed, std::max(rows, values)) + compressed +
            compressed / 4 + 3 * pages.max_uncompressed_bytes;
  }
  if (plan.added) need += 4 * kMiB + 8 * rows;
  return need + 6 * kBatchBytes;
}

arrow::Result<int64_t> FieldRecoder::BatchRows() const {
  const int64_t rows = std::max<int64_t>(1, file_->row_group_rows(row_group_));
  ARROW_ASSIGN_OR_RAISE(const auto metadata, file_->RowGroupMetadata(row_group_));
  const int64_t row_bytes = UncompressedBytes(*metadata, plan_) / rows + 1;
  return std::clamp<int64_t>(kBatchBytes / row_bytes, 1, kMaxBatchRows);
}

arrow::Status FieldRecoder::Edit(const std::shared_ptr<arrow::Array>& old, int64_t first_row,
                                 size_t begin, size_t end, std::vector<uint8_t>* changed,
                                 const Emit& emit) {
  GuardedPool* pool = context_->encode_pool;
  std::vector<int64_t> ordinals;
  for (size_t i = begin; i < end; ++i) {
    if ((*edits_)[i].ordinal != RowMatch::kRemoved) ordinals.push_back((*edits_)[i].ordinal);
  }
  std::shared_ptr<arrow::Array> fresh;
  if (!ordinals.empty()) {
    ARROW_ASSIGN_OR_RAISE(fresh, take_(ordinals));
    if (!fresh) {
      ARROW_ASSIGN_OR_RAISE(
          fresh, arrow::MakeArrayOfNull(old->type(), static_cast<int64_t>(ordinals.size()), pool));
    }
    ARROW_ASSIGN_OR_RAISE(
        fresh, FitValues(std::move(fresh), old->type(), field_->nullable(), plan_.name, pool));
  }
  arrow::Int64Builder positions(pool);
  ARROW_RETURN_NOT_OK(positions.Reserve(old->length()));
  const auto equal = arrow::EqualOptions::Defaults().nans_equal(true).signed_zeros_equal(false);
  int64_t row = 0;
  int64_t next_fresh = 0;
  for (size_t i = begin; i < end; ++i) {
    const int64_t at = (*edits_)[i].row - first_row;
    for (; row < at; ++row) positions.UnsafeAppend(row);
    ++row;
    if ((*edits_)[i].ordinal == RowMatch::kRemoved) continue;
    const bool same = old->RangeEquals(at, at + 1, next_fresh, *fresh, equal);
    if (!same) (*changed)[i] = 1;
    positions.UnsafeAppend(same ? at : old->length() + next_fresh);
    ++next_fresh;
  }
  for (; row < old->length(); ++row) positions.UnsafeAppend(row);
  if (!emit) return arrow::Status::OK();
  ARROW_ASSIGN_OR_RAISE(auto indices, positions.Finish());
  arrow::compute::ExecContext exec(pool);
  exec.set_use_threads(false);
  std::shared_ptr<arrow::Array> all = old;
  if (fresh) {
    ARROW_ASSIGN_OR_RAISE(all, arrow::Concatenate({old, fresh}, pool));
  }
  ARROW_ASSIGN_OR_RAISE(
      auto edited,
      arrow::compute::Take(*all, *indices, arrow::compute::TakeOptions::NoBoundsCheck(), &exec));
  return emit(edited);
}

arrow::Status FieldRecoder::ForEachEdited(std::vector<uint8_t>* changed, const Emit& emit) {
  size_t next = 0;
  int64_t row = 0;
  const auto visit = [&](const std::shared_ptr<arrow::Array>& values) -> arrow::Status {
    ARROW_RETURN_NOT_OK(context_->progress.CheckCancelled());
    const int64_t end_row = row + values->length();
    size_t end = next;
    while (end < edits_->size() && (*edits_)[end].row < end_row) ++end;
    if (end > next) {
      ARROW_RETURN_NOT_OK(Edit(values, row, next, end, changed, emit));
    } else if (emit) {
      ARROW_RETURN_NOT_OK(emit(values));
    }
    next = end;
    row = end_row;
    return arrow::Status::OK();
  };
  if (!plan_.added) {
    ARROW_ASSIGN_OR_RAISE(const int64_t batch_rows, BatchRows());
    return ReadRowGroup(file_, row_group_, {plan_.name}, batch_rows, context_->encode_pool,
                        [&](const arrow::RecordBatch& batch) {
                          field_ = batch.schema()->field(0);
                          return visit(batch.column(0));
                        });
  }
  field_ = plan_.added;
  const int64_t rows = file_->row_group_rows(row_group_);
  do {  // once even where there are no rows
    ARROW_ASSIGN_OR_RAISE(
        auto nulls, arrow::MakeArrayOfNull(field_->type(), std::min(kMaxBatchRows, rows - row),
                                           context_->encode_pool));
    ARROW_RETURN_NOT_OK(visit(nulls));
  } while (row < rows);
  return arrow::Status::OK();
}

arrow::Result<bool> FieldRecoder::Differs() {
  std::vector<uint8_t> changed(edits_->size(), 0);
  const bool removes = std::any_of(edits_->begin(), edits_->end(), [](const RowMatch& edit) {
    return edit.ordinal == RowMatch::kRemoved;
  });
  if (removes) return true;
  ARROW_RETURN_NOT_OK(ForEachEdited(&changed, nullptr));
  return std::find(changed.begin(), changed.end(), 1) != changed.end();
}

arrow::Status FieldRecoder::Recode(ParquetAssembler* assembler, Storage* storage, Commit* commit,
                                   bool extend, std::vector<uint8_t>* changed) {
  const parquet::SchemaDescriptor& schema = file_->schema();
  try {
    ARROW_ASSIGN_OR_RAISE(auto style, StyleOf(*file_, row_group_, plan_, context_->encode_pool));
    parquet::SchemaDescriptor made;
    const parquet::schema::Node* node = nullptr;
    if (plan_.added) {
      std::shared_ptr<parquet::SchemaDescriptor> descriptor;
      ARROW_RETURN_NOT_OK(parquet::arrow::ToParquetSchema(
          arrow::schema({plan_.added}).get(), *style, *parquet::default_arrow_writer_properties(),
          &descriptor));
      made = *descriptor;
      node = made.group_node()->field(0).get();
    } else {
      node = schema.GetColumnRoot(plan_.leaf);
    }
    bool int96 = false;
    for (int leaf = plan_.leaf; leaf < plan_.leaf + plan_.leaf_count; ++leaf) {
      int96 |= schema.Column(leaf)->physical_type() == parquet::Type::INT96;
    }
    std::unique_ptr<OneColumnFile> out;
    ARROW_RETURN_NOT_OK(
        ForEachEdited(changed, [&](const std::shared_ptr<arrow::Array>& values) -> arrow::Status {
          if (!out) {
            ARROW_ASSIGN_OR_RAISE(out, OneColumnFile::Make(*node, field_, style, int96, storage,
                                                           commit, context_->encode_pool));
          }
          return out->Append(values);
        }));
    ARROW_ASSIGN_OR_RAISE(const auto encoded, out->Finish());
    if (plan_.added && extend) ARROW_RETURN_NOT_OK(assembler->ExtendSchema(*encoded));
    for (int i = 0; i < encoded->num_columns(); ++i) {
      if (!plan_.added && (i >= plan_.leaf_count ||
                           !schema.Column(plan_.leaf + i)->Equals(*encoded->schema().Column(i)))) {
        return arrow::Status::Invalid("the encoded column '", plan_.name,
                                      "' has other leaves than '", file_->path(), "'");
      }
      ARROW_ASSIGN_OR_RAISE(auto chunk,
                            OneColumnFile::CopyChunk(*encoded, i, assembler->sink().get()));
      ARROW_RETURN_NOT_OK(plan_.added
                              ? assembler->AddNewChunk(std::move(chunk))
                              : assembler->AddEncodedChunk(plan_.leaf + i, std::move(chunk)));
    }
    return arrow::Status::OK();
  } catch (const parquet::ParquetStatusException& e) {
    return e.status();
  } catch (const parquet::ParquetException& e) {
    return MakeError(ErrorKind::kUnsupportedFile, "cannot recode column '" + plan_.name + "' of '" +
                                                      file_->path() + "': " + e.what());
  } catch (const std::bad_alloc&) {
    return arrow::Status::OutOfMemory("no memory to recode a column of '", file_->path(), "'");
  }
}

}  // namespace floodwall
