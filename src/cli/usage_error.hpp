// What the person at the command line got wrong: exit code 64.
#pragma once

#include "klmesh/error.hpp"

namespace klmesh::cli {

/// A wrong argument, --set or environment value. The message names it.
class UsageError : public InvalidArgument {
 public:
  using InvalidArgument::InvalidArgument;
};

}  // namespace klmesh::cli
