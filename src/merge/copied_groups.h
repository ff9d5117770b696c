#pragma once

/// Row groups of a Parquet source that go into new files as the bytes they are, because all their
/// rows are new and they look like those that would be written of them. The insert is the caller.
///
/// Whether they may is a matter of source, target and options, never of the budget. It is all or
/// nothing, so that new rows keep the source's order. Every page is read, decompressed and checked
/// before, as a damaged one would be found by decoding it.
///
/// Threading: one thread. Errors: kUnsupportedFile for damaged pages, kCommit from the staged
/// files. Memory: a page, from the encode pool, and what an assembler takes: within
/// NewFile::kEncoderBytes. Lifetime: borrows everything.

#include <vector>

#include "arrow/result.h"
#include "dataset/commit.h"
#include "dataset/parquet_assembler.h"
#include "merge/new_file.h"
#include "merge/row_bitmap.h"
#include "merge/row_source.h"

namespace floodwall {

/// The row groups that have exactly the rows of `wanted`, `count` of them, when all can be copied:
/// the columns of the style in its types and codecs, statistics that can be trusted, pages that can
/// be patched later, a page index where new files have one, and of sensible size: at most
/// `most_rows`. None otherwise.
arrow::Result<std::vector<SourceRowGroup>> FindCopies(const RowSource& source,
                                                      const RowBitmap& wanted, int64_t count,
                                                      const FileStyle& style, int64_t most_rows,
                                                      RunContext* context);

/// Copies row groups of one source file into a new file.
arrow::Result<AssembledFile> CopyGroups(const std::vector<SourceRowGroup>& groups,
                                        const FileStyle& style, std::unique_ptr<StagedFile> staged,
                                        RunContext* context);

}  // namespace floodwall
