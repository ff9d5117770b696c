#pragma once

/// Makes Arrow's own default pool name RoutingPool, for code that is never given a pool.
///
/// Joins, group_by, the dataset writer and the Parquet encoders ask
/// `arrow::default_memory_pool()`, whatever pool pyarrow's default is. Arrow's libraries call
/// that function through their tables of imported functions, where another may be put in its place
/// (System V ABI, "Procedure Linkage Table"; `elf.h`). So may be the functions that give the
/// contexts whose pool was chosen when the library was loaded.
///
/// Called by `RoutingPool::RouteDefaults`. Threading: any thread; routing is switched by one
/// atomic. Errors: NotImplemented where a table cannot be found: other systems and processors than
/// Linux on x86-64 and AArch64.

#include "arrow/status.h"

namespace floodwall {

/// Looks for libraries that were loaded since the last call, and puts our functions in.
arrow::Status HookDefaultPool();

/// From now on the default pool is RoutingPool, or Arrow's own.
void SwitchDefaultPool(bool routed);

}  // namespace floodwall
