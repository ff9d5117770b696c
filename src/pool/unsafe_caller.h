#pragma once

/// Tells whether a denial would crash the process instead of becoming an error.
///
/// Arrow's CSV reader takes the result of an allocation without looking at it; Parquet's encoders
/// leave themselves in a state that closing the file then walks into. Whether one of them is the
/// caller can only be read from the stack, which is done when a request is about to be denied.
///
/// Threading: any thread; allocates nothing. Lifetime: nothing.

namespace floodwall {

/// Whether a frame of this thread's stack lies in arrow::csv, or in what writes or encodes Parquet.
bool CalledByUnsafeCode();

}  // namespace floodwall
