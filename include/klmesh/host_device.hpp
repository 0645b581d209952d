// Marks functions that run on the host and on the device: one algebra for both.
#pragma once

#ifdef __CUDACC__
#define KLMESH_HD __host__ __device__
#else
#define KLMESH_HD
#endif
