#pragma once

/// The version of floodwall: the one place it is written. CMake and the Python
/// build read it from here.
#define FLOODWALL_VERSION "0.1.0"
