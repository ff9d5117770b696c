#pragma once

/// Marks what libfloodwall.so exports. Everything else is hidden.
#define FLOODWALL_EXPORT __attribute__((visibility("default")))
