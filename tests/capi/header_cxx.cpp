#include "klmesh/klmesh.h"

// Plain functions to C++ too: a pointer to one has C linkage.
extern "C" {
const char* (*header_cxx_version)(void) = &klmesh_version;
}
