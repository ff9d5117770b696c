floodwall_module(dataset
  SOURCES chunk_reader.cc commit.cc compact_thrift.cc journal.cc listing.cc lock.cc parquet_assembler.cc
          parquet_source.cc staged_output.cc storage.cc
  LINKS floodwall_pool ArrowCompute::arrow_compute_shared
        Parquet::parquet_shared)
