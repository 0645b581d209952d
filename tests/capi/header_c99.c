#include "klmesh/klmesh.h"

/* A struct that is set by name, so that this is the C that the header promises. */
klmesh_mesh_options header_c99_options(void);
klmesh_mesh_options header_c99_options(void) {
  klmesh_mesh_options options = {.struct_size = sizeof options, .batch = 2, .vocab = 4};
  return options;
}
