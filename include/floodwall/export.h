#pragma once

/// Marks what libfloodwall.so exports. Everything else is hidden.
#ifdef _WIN32
#define FLOODWALL_EXPORT
#else
#define FLOODWALL_EXPORT __attribute__((visibility("default")))
#endif
