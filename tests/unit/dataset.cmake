floodwall_test(test_dataset MODULE dataset
  SOURCES fault/commit_fault_test.cc support/heap_watch.cc unit/chunk_reader_test.cc
          unit/compact_thrift_test.cc unit/copied_parquet_test.cc unit/exchange_test.cc unit/hostile_parquet_test.cc
          unit/hybrid_codec_test.cc unit/journal_test.cc unit/listing_test.cc
          unit/mutated_parquet_test.cc unit/parquet_assembler_test.cc unit/parquet_source_test.cc)
