floodwall_module(dataset
  SOURCES assembler_footer.cc bloom_probe.cc chunk_metadata.cc chunk_pages.cc chunk_reader.cc
          commit.cc commit_records.cc compact_thrift.cc directory_attributes.cc exchange.cc
          exchange_checks.cc footer_index.cc hybrid_codec.cc journal.cc listing.cc lock.cc
          page_index.cc page_scan.cc parquet_assembler.cc parquet_source.cc patched_chunk.cc
          patched_indexes.cc patched_metadata.cc pread_file.cc selected_pages.cc staged_output.cc storage.cc
          thrift_cursor.cc tree.cc value_order.cc
  LINKS floodwall_spill ArrowCompute::arrow_compute_shared Parquet::parquet_shared)
