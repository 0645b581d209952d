// Everything of the library but the MPI entry points, which are in klmesh/mpi.hpp.
#pragma once

#include "klmesh/communicator.hpp"
#include "klmesh/divergence.hpp"
#include "klmesh/engine.hpp"
#include "klmesh/error.hpp"
#include "klmesh/estimators.hpp"
#include "klmesh/logits.hpp"
#include "klmesh/mesh.hpp"
#include "klmesh/row_partial.hpp"
#include "klmesh/statistics.hpp"
#include "klmesh/stream.hpp"
#include "klmesh/vocab_shard.hpp"
