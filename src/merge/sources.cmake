floodwall_module(merge
  SOURCES byte_array_sizes.cc chunk_dictionary.cc column_recoder.cc copied_groups.cc decoded_values.cc
          field_plan.cc field_recoder.cc fit_values.cc group_loader.cc index_partition.cc
          insert.cc inspection.cc key_encoder.cc key_examples.cc key_index.cc key_matcher.cc
          key_matching.cc key_partitions.cc key_ranges.cc key_schema.cc key_values.cc merge.cc
          merge_checks.cc merge_plan.cc merge_pools.cc new_file.cc new_values.cc
          one_column_file.cc ordinal_places.cc page_patcher.cc page_rewrite.cc page_values.cc
          parquet_rows.cc partitions.cc physical_values.cc plain_values.cc plan_estimates.cc
          publication.cc read_row_group.cc recorded_result.cc rewrite.cc rewrite_file.cc
          rewrite_need.cc routed_rows.cc row_bitmap.cc row_edits.cc row_group_pruning.cc
          row_order.cc row_router.cc row_set.cc row_source.cc run_context.cc schema_nodes.cc
          source_keys.cc source_partitions.cc spilled_match.cc stored_decimals.cc
          stream_rows.cc target.cc target_duplicates.cc target_matching.cc value_lengths.cc
  LINKS floodwall_dataset ArrowCompute::arrow_compute_shared)
