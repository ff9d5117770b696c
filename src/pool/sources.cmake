floodwall_module(pool
  SOURCES admission.cc budget.cc default_pool.cc guarded_pool.cc imported_functions.cc
          limit_scope.cc mapped_pool.cc reclaim.cc thread_scopes.cc trim.cc unsafe_caller.cc
  LINKS floodwall_monitor ${CMAKE_DL_LIBS})

# What `floodwall run` preloads into other programs: it needs nothing but libc.
add_library(floodwall_preload MODULE
  "${PROJECT_SOURCE_DIR}/src/pool/arrow_preload.cc" "${PROJECT_SOURCE_DIR}/src/pool/unsafe_caller.cc")
target_include_directories(floodwall_preload PRIVATE "${PROJECT_SOURCE_DIR}/src")
target_compile_options(floodwall_preload PRIVATE -fno-exceptions -fno-rtti -fvisibility=hidden)
target_link_options(floodwall_preload PRIVATE -Wl,--as-needed -static-libgcc)
target_link_libraries(floodwall_preload PRIVATE ${CMAKE_DL_LIBS} Threads::Threads)
floodwall_warnings(floodwall_preload)
install(TARGETS floodwall_preload LIBRARY DESTINATION lib)
