#pragma once

/// What a directory has besides its entries, given to another one.
///
/// Threading: a plain function. Errors: errno. Lifetime: values.

#include <string>

namespace floodwall {

/// Owner, group, access control lists, user's attributes and mode; 0 or errno. Labels of security
/// modules and trusted attributes go along where the system lets them.
int CopyDirectoryAttributes(const std::string& from, const std::string& to);

}  // namespace floodwall
