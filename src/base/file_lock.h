#pragma once

/// flock(2) on open files and directories. The dataset's lock and spill directories are the
/// callers.
///
/// Threading: safe from any thread; a lock belongs to the open file description, so that a forked
/// child shares it. Errors: of the system, in errno. Lifetime: closing the descriptor unlocks.

#include <string>

namespace floodwall {

/// 0, or -1 with errno: EWOULDBLOCK where somebody else has it. `operation`: LOCK_EX, or with
/// LOCK_NB. Signals do not end the wait.
int LockFile(int fd, int operation);

/// Whether a path still leads to what is open: a lock counts only where others will find it.
bool IsStillAt(int fd, const std::string& path);

}  // namespace floodwall
