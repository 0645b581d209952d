// Marks a hot element-wise function to be compiled once per vector width; the loader picks the widest that
// runs.
#pragma once

// The bits do not depend on the choice: such functions hold element-wise IEEE arithmetic without contraction,
// or integers. Sanitizers are left out, because they are not yet set up when the loader resolves the choice.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && defined(__OPTIMIZE__)
#define KLMESH_VECTOR_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define KLMESH_VECTOR_CLONES
#endif
