floodwall_module(merge
  SOURCES insert.cc merge.cc publication.cc rewrite.cc source_keys.cc target.cc column_recoder.cc physical_values.cc fit_values.cc key_encoder.cc key_index.cc key_schema.cc row_source.cc run_context.cc
  LINKS floodwall_dataset ArrowCompute::arrow_compute_shared)
