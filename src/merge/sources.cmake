floodwall_module(merge
  SOURCES insert.cc merge.cc new_file.cc parquet_rows.cc plain_values.cc
          publication.cc rewrite.cc row_bitmap.cc row_edits.cc row_order.cc
          source_keys.cc target.cc target_duplicates.cc target_matching.cc column_recoder.cc
          physical_values.cc fit_values.cc key_encoder.cc key_index.cc key_schema.cc row_source.cc
          run_context.cc stream_rows.cc
  LINKS floodwall_dataset ArrowCompute::arrow_compute_shared)
