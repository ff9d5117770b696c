floodwall_module(dataset
  SOURCES assembler_footer.cc chunk_metadata.cc chunk_reader.cc commit.cc compact_thrift.cc
          footer_index.cc journal.cc listing.cc lock.cc page_scan.cc parquet_assembler.cc
          parquet_source.cc pread_file.cc staged_output.cc storage.cc thrift_cursor.cc
  LINKS floodwall_spill ArrowCompute::arrow_compute_shared Parquet::parquet_shared)
