#pragma once

/// Tells whether a denial would abort the process instead of becoming an error.
///
/// Arrow's CSV reader takes the result of an allocation without looking at it. Whether it is the
/// caller can only be read from the stack, which is done when a request is about to be denied.
///
/// Threading: any thread. Lifetime: nothing.

namespace floodwall {

/// Whether a frame of this thread's stack lies in code of arrow::csv.
bool CalledByUnsafeCode();

}  // namespace floodwall
