#include "merge/group_loader.h"

#include <utility>

#include "merge/routed_rows.h"

namespace floodwall {
namespace {

/// Matches from a spill file, rows from memory.
class ResidentLoader final : public GroupLoader {
 public:
  ResidentLoader(RowSource* source, RecordSorter* matches, Reservation charge)
      : source_(source), matches_(matches), charge_(std::move(charge)) {}

  arrow::Result<std::shared_ptr<const RowSet>> Load(TargetRowGroup* group) override {
    if (!rows_) {
      ARROW_ASSIGN_OR_RAISE(rows_, source_->Load({}));
      ARROW_RETURN_NOT_OK(matches_->Rewind());
      ARROW_ASSIGN_OR_RAISE(any_, matches_->Next(&next_));
    }
    ARROW_RETURN_NOT_OK(charge_.Resize(group->replaced * static_cast<int64_t>(sizeof(RowMatch))));
    group->matches.reserve(static_cast<size_t>(group->replaced));
    while (any_ && next_.key < group->first_row + group->num_rows) {
      group->matches.push_back({next_.key - group->first_row, next_.value});
      ARROW_ASSIGN_OR_RAISE(any_, matches_->Next(&next_));
    }
    return rows_;
  }

 private:
  RowSource* source_;
  RecordSorter* matches_;
  Reservation charge_;
  std::shared_ptr<const RowSet> rows_;
  SpillRecord next_;
  bool any_ = false;
};

/// Both from spill files.
class RoutedLoader final : public GroupLoader {
 public:
  explicit RoutedLoader(std::unique_ptr<RoutedReader> rows) : rows_(std::move(rows)) {}
  arrow::Result<std::shared_ptr<const RowSet>> Load(TargetRowGroup* group) override {
    return rows_->Load(group);
  }

 private:
  std::unique_ptr<RoutedReader> rows_;
};

}  // namespace

arrow::Result<std::vector<std::unique_ptr<GroupLoader>>> GroupLoader::Make(
    const Target& target, RowSource* source, std::vector<std::string> columns,
    RecordSorter* matches, int64_t share, int count, RunContext* context) {
  std::vector<std::unique_ptr<GroupLoader>> out;
  if (source->resident()) {
    ARROW_ASSIGN_OR_RAISE(auto charge, Reservation::Make(context->index_pool->budget(), 0));
    out.push_back(std::make_unique<ResidentLoader>(source, matches, std::move(charge)));
    return out;
  }
  ARROW_ASSIGN_OR_RAISE(
      std::shared_ptr<const RoutedRows> rows,
      RoutedRows::Make(target, source, std::move(columns), matches, share, context));
  while (std::ssize(out) < count) {
    ARROW_ASSIGN_OR_RAISE(auto reader, RoutedReader::Make(rows));
    out.push_back(std::make_unique<RoutedLoader>(std::move(reader)));
  }
  return out;
}

}  // namespace floodwall
