/* The C interface of klmesh: exact KL divergence between language-model logits sharded over a mesh of ranks.
 *
 * Plain C99, no <mpi.h>, no C++. Link libklmesh_c, and MPI if a mesh is made of communicators.
 *
 * Every function that can fail returns a klmesh_status and leaves a text for klmesh_last_error(). Nothing is printed,
 * nothing ends the process, no C++ exception crosses. On failure, outputs hold nothing of use.
 *
 * Structs begin with `struct_size`, which the caller sets to sizeof. Zero in every other field is the default, so
 *     klmesh_mesh_options options = {.struct_size = sizeof options, .batch = 2, .vocab = 4};
 * is complete. Later versions append fields alone, and older callers go on working. A struct_size that no version has
 * is KLMESH_INVALID_ARGUMENT; so is a longer struct with something set that this version does not know.
 *
 * Collective functions must be called by all ranks of the group they name, in the same order. Arguments that are wrong
 * on one rank fail on all ranks of the group, with the same text. Two mistakes cannot be shared with the others, and
 * keep them waiting until the deadline of the mesh: a null handle (mesh, engine), and a null communicator.
 *
 * A handle may be used by one thread at a time. All values are in nats, unless they have no unit.
 *
 * One header of 400 lines, most of them documentation: that a C host includes one file is worth it.
 */
#ifndef KLMESH_KLMESH_H_
#define KLMESH_KLMESH_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define KLMESH_API __attribute__((visibility("default")))
#else
#define KLMESH_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status and version ---- */

/** What a call returns. The values are fixed for ever; later versions may add some. */
typedef int32_t klmesh_status;
enum {
  KLMESH_OK = 0,
  KLMESH_INVALID_ARGUMENT = 1,    /**< null pointer, wrong size, shape, type or option: no data could make it right */
  KLMESH_INVALID_DATA = 2,        /**< NaN, a target out of range, ranks that disagree, no token counted */
  KLMESH_INPUT_NOT_FOUND = 3,     /**< an input does not exist */
  KLMESH_BACKEND_UNAVAILABLE = 4, /**< not in this build, or no such device */
  KLMESH_IO_ERROR = 5,            /**< reading or writing failed */
  KLMESH_HDF5_ERROR = 6,          /**< a call into HDF5 failed */
  KLMESH_COMMUNICATION_ERROR = 7, /**< a peer was lost; the mesh is unusable */
  KLMESH_MPI_ERROR = 8,           /**< an MPI call failed; the mesh is unusable */
  KLMESH_DEADLINE_EXCEEDED = 9,   /**< a peer did not come in time; the mesh is unusable, end with MPI_Abort */
  KLMESH_OUT_OF_MEMORY = 10,      /**< on this rank */
  KLMESH_INTERNAL_ERROR = 11      /**< anything else */
};

/** Version of the library, "0.1.0". */
KLMESH_API const char* klmesh_version(void);

/** Version of this interface. Callers built against a header with the same KLMESH_ABI_VERSION can use the library. */
KLMESH_API int32_t klmesh_abi_version(void);
#define KLMESH_ABI_VERSION 1

/** "invalid argument" and so on; "unknown status" for any other number. */
KLMESH_API const char* klmesh_status_name(klmesh_status status);

/** What went wrong in this thread's last call that failed: names the argument, rank, row or column. "" if none did.
 * Calls that succeed leave it alone. Valid until the next failing call of the same thread. */
KLMESH_API const char* klmesh_last_error(void);

/* ---- Mesh: ranks split over the batch and the vocabulary ---- */

/** The groups of ranks that share logits. */
typedef struct klmesh_mesh klmesh_mesh;

typedef struct klmesh_mesh_options {
  size_t struct_size;
  int32_t batch;           /**< parts of the batch; 0 with vocab = 0: chosen from the ranks of a node */
  int32_t vocab;           /**< parts of the vocabulary, at most 64 */
  double deadline_seconds; /**< of every single exchange; 0: 300 s */
} klmesh_mesh_options;

/** The mesh of this process alone, 1x1. Needs no MPI. */
KLMESH_API klmesh_status klmesh_mesh_create_self(klmesh_mesh** mesh);

/** Splits a communicator into a mesh: world rank = batch part * vocab + vocabulary part. Collective over it.
 *
 * MPI must be running, and stays the caller's to finalise. The communicator is duplicated, never used itself.
 * @param mpi_comm points at an `MPI_Comm` of the MPI that klmesh was built with
 * @param options  may be NULL: all defaults
 * @param mesh     output; klmesh_mesh_destroy() it before MPI_Finalize
 * @return INVALID_ARGUMENT on every rank, unless batch * vocab is its size; INVALID_DATA on every rank, if shapes
 *         differ; MPI_ERROR; DEADLINE_EXCEEDED if a rank does not come */
KLMESH_API klmesh_status klmesh_mesh_create(const void* mpi_comm, const klmesh_mesh_options* options,
                                            klmesh_mesh** mesh);

/** Makes a mesh of a trainer's own groups: tensor-parallel, and the one over which rows are split. Collective over
 * their union, which must be a full grid; other ranks of the job never enter.
 *
 * @param vocab_comm, batch_comm point at the `MPI_Comm`s of this rank
 * @param options  may be NULL; batch and vocab must be 0: the groups have sizes already
 * @return INVALID_ARGUMENT on every rank, if the groups form no grid */
KLMESH_API klmesh_status klmesh_mesh_create_from_groups(const void* vocab_comm, const void* batch_comm,
                                                        const klmesh_mesh_options* options, klmesh_mesh** mesh);

/** Where this rank is. */
typedef struct klmesh_mesh_shape {
  size_t struct_size;
  int32_t batch;      /**< parts of the batch */
  int32_t vocab;      /**< parts of the vocabulary */
  int32_t batch_part; /**< of this rank, 0..batch-1 */
  int32_t vocab_part; /**< of this rank, 0..vocab-1 */
} klmesh_mesh_shape;

/** Shape of the mesh, and this rank's place in it. */
KLMESH_API klmesh_status klmesh_mesh_get_shape(const klmesh_mesh* mesh, klmesh_mesh_shape* shape);

/** Frees the mesh once its engines are destroyed too; NULL is ignored. Collective, like MPI_Comm_free. */
KLMESH_API void klmesh_mesh_destroy(klmesh_mesh* mesh);

/* ---- Engine ---- */

/** Computes on a mesh, for one vocabulary size. */
typedef struct klmesh_engine klmesh_engine;

/** Makes an engine, which keeps the mesh alive. No communication.
 * @param vocab_size real vocabulary, without padding, >= 1; equal on all ranks */
KLMESH_API klmesh_status klmesh_engine_create(klmesh_mesh* mesh, int64_t vocab_size, klmesh_engine** engine);

/** NULL is ignored. Collective if the mesh handle is destroyed already. */
KLMESH_API void klmesh_engine_destroy(klmesh_engine* engine);

/** The columns that this rank owns. */
typedef struct klmesh_shard {
  size_t struct_size;
  int64_t vocab_size;   /**< as given */
  int64_t begin;        /**< first column (global vocabulary index) */
  int64_t end;          /**< one past the last */
  int32_t part;         /**< vocabulary part of this rank */
  int32_t parts;        /**< number of vocabulary parts */
  int32_t first_slice;  /**< first of the 64 canonical slices */
  int32_t last_slice;   /**< one past the last */
  int32_t reproducible; /**< 1: results have the same bits on every mesh of 1, 2, 4 ... 64 vocabulary parts */
  int32_t reserved;     /**< 0 */
} klmesh_shard;

/** Which columns of the vocabulary the logits of this rank must have. */
KLMESH_API klmesh_status klmesh_engine_shard(const klmesh_engine* engine, klmesh_shard* shard);

/** Rows [*begin, *end) of a batch of `rows` that this rank finishes in KLMESH_BY_ROWS and adds in
 * klmesh_sums_accumulate(). */
KLMESH_API klmesh_status klmesh_engine_owned_rows(const klmesh_engine* engine, int64_t rows, int64_t* begin,
                                                  int64_t* end);

/* ---- Matrices of logits ---- */

/** Type codes of DLPack. */
enum { KLMESH_DTYPE_FLOAT = 2, KLMESH_DTYPE_BFLOAT = 4 };

/** Laid out like DLPack's DLDataType. Known: {FLOAT, 16}, {FLOAT, 32}, {FLOAT, 64}, {BFLOAT, 16}. */
typedef struct klmesh_dtype {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes; /**< 1, or 0 for the same */
} klmesh_dtype;

/** Borrowed logits: shape (token positions, columns). Columns beyond the shard's are padding, never read. */
typedef struct klmesh_logits {
  size_t struct_size;
  const void* data;         /**< first element (DLPack: data + byte_offset); NULL only if the matrix is empty */
  int64_t shape[2];         /**< rows, columns; columns >= the shard's */
  int64_t strides[2];       /**< in elements: strides[0] >= columns, strides[1] = 1 */
  klmesh_dtype dtype;       /**< policy and reference may differ: the wider one is computed in */
  int32_t reserved;         /**< 0 */
  const int64_t* row_index; /**< (rows) memory row that each position reads; NULL: row i is row i */
  double scale;             /**< the logits are scale * data; finite, > 0; 0: 1 */
} klmesh_logits;

/** Where a gradient goes: the shape of the policy logits; row i goes to row i. May be the policy logits themselves. */
typedef struct klmesh_gradient_output {
  size_t struct_size;
  void* data;
  int64_t shape[2];
  int64_t strides[2]; /**< in elements */
  klmesh_dtype dtype; /**< {FLOAT, 32}, {FLOAT, 16} or {BFLOAT, 16} */
  int32_t accumulate; /**< 1: add to what is there, {FLOAT, 32} alone; 0: overwrite */
} klmesh_gradient_output;

/** What accompanies the rows. Pointers are NULL or have `rows` entries; equal on all ranks of the vocabulary group. */
typedef struct klmesh_row_inputs {
  size_t struct_size;
  int64_t rows;            /**< must be the rows of the logits */
  const int64_t* targets;  /**< sampled token of each row (global vocabulary index) */
  const uint8_t* mask;     /**< 1: the row counts, 0: it is not looked at; NULL: all count */
  const int64_t* sequence; /**< dense sequence ids 0..G-1, for clustered errors */
} klmesh_row_inputs;

/* ---- Values of every token ---- */

/** Bits of klmesh_token.flags. */
enum {
  KLMESH_POLICY_HAS_MASS = 1,      /**< some policy logit is finite */
  KLMESH_REFERENCE_HAS_MASS = 2,   /**< some reference logit is finite */
  KLMESH_KL_REVERSE_INFINITE = 4,  /**< policy > 0 where the reference is 0 */
  KLMESH_KL_FORWARD_INFINITE = 8,  /**< reference > 0 where the policy is 0 */
  KLMESH_INVALID_POLICY = 16,      /**< NaN or +inf among the policy logits */
  KLMESH_INVALID_REFERENCE = 32,   /**< NaN or +inf among the reference logits */
  KLMESH_HAS_TARGET = 64,          /**< the target is in the vocabulary */
  KLMESH_TARGET_OUT_OF_RANGE = 128 /**< the target is not */
};

/** Everything known about one token position, in nats. NaN: not asked for, or no target. Masked rows are 0. */
typedef struct klmesh_token {
  double kl_reverse; /**< KL[policy || reference] */
  double kl_forward; /**< KL[reference || policy] */
  double entropy_policy;
  double entropy_reference;
  double cross_entropy_policy_reference; /**< -sum pi log ref */
  double cross_entropy_reference_policy; /**< -sum ref log pi */
  double logp_policy;                    /**< log pi(y) */
  double logp_reference;                 /**< log ref(y) */
  double k1;                             /**< -log r, r = ref(y) / pi(y) */
  double k2;                             /**< (log r)^2 / 2 */
  double k3;                             /**< (r - 1) - log r */
  double chi_square;                     /**< sum pi^2 / ref - 1; no unit, like the next four */
  double chi_square_reference_policy;    /**< sum ref^2 / pi - 1 */
  double hellinger;                      /**< squared distance, 1 - sum sqrt(pi ref) */
  double total_variation;                /**< half the L1 distance */
  double same_top;                       /**< 1 if the largest logit is the same token, else 0 */
  double jensen_shannon;                 /**< weights 1/2; nats */
  double renyi;                          /**< D_alpha[policy || reference] of the alpha asked for; nats */
  double lse_reference;                  /**< logsumexp of the reference logits */
  /* What klmesh_gradient() reads: pass it on unchanged. */
  double lse_policy;                /**< logsumexp of the policy logits */
  double lse_difference;            /**< lse_reference - lse_policy, accurate where it is tiny */
  double normalizer_kl_reverse;     /**< there in rows that are not owned, too */
  double normalizer_entropy_policy; /**< there in rows that are not owned, too */
  double normalizer_kl_mixture;     /**< KL[pi || (pi + ref) / 2], with KLMESH_ALL; there in all rows, too */
  uint32_t flags;                   /**< KLMESH_POLICY_HAS_MASS ... */
  int32_t invalid_column;           /**< first NaN or +inf (global index), or INT32_MAX */
} klmesh_token;

/** Which quantities are computed. */
enum {
  KLMESH_CORE = 0, /**< without chi_square to same_top */
  KLMESH_ALL = 1   /**< a second read of the logits, a second exchange */
};

/** How partial sums travel; the bits of the results are the same. */
enum {
  KLMESH_AUTOMATIC = 0, /**< gather for few rows x parts, by rows for many */
  KLMESH_GATHER = 1,    /**< every rank finishes every row */
  KLMESH_BY_ROWS = 2    /**< each rank finishes its owned rows; the others hold what the gradient needs, and NaN */
};

typedef struct klmesh_evaluate_options {
  size_t struct_size;
  int32_t quantities;  /**< KLMESH_CORE or KLMESH_ALL */
  int32_t schedule;    /**< KLMESH_AUTOMATIC, KLMESH_GATHER or KLMESH_BY_ROWS */
  int32_t values_only; /**< 1: no klmesh_gradient() follows, which saves an exchange in KLMESH_BY_ROWS */
  int32_t reserved;    /**< 0 */
  double renyi_alpha;  /**< order of klmesh_token.renyi, which is computed in either set: > 0, and 1 or at least 1e-6
                            away from it; 0: none */
} klmesh_evaluate_options;

/** Computes the values of every row. Collective over the vocabulary group.
 *
 * @param policy, reference (rows, columns) logits of this rank's shard
 * @param inputs      may be NULL: no targets, all rows count
 * @param options     may be NULL: all defaults
 * @param tokens      (token_count) output
 * @param token_size  sizeof(klmesh_token): the distance of the entries in bytes
 * @param token_count must be the rows of the logits
 * @param stream      NULL: the call is complete on return; GPU back ends take a `cudaStream_t`
 * Cost: one read of both shards; one exchange of 104 bytes a row (192 with renyi_alpha; KLMESH_ALL: two reads, two
 * exchanges, 216 bytes in all).
 * Rows with NaN or with a target out of range are no error here: they fail in klmesh_sums_reduce().
 * @return INVALID_ARGUMENT on every rank of the group, if shapes, types or options are wrong on one; INVALID_DATA on every
 *         rank of the group, if they disagree about rows, inputs or options */
KLMESH_API klmesh_status klmesh_evaluate(klmesh_engine* engine, const klmesh_logits* policy,
                                         const klmesh_logits* reference, const klmesh_row_inputs* inputs,
                                         const klmesh_evaluate_options* options, klmesh_token* tokens,
                                         size_t token_size, int64_t token_count, void* stream);

/** Weight of each quantity in the objective, row by row. Pointers are NULL (0 everywhere) or have `rows` entries. */
typedef struct klmesh_row_scales {
  size_t struct_size;
  int64_t rows;
  const double* kl_reverse;
  const double* kl_forward;
  const double* logp_policy; /**< of log pi(y); needs targets */
  const double* entropy_policy;
  const double* jensen_shannon; /**< needs rows that were evaluated with KLMESH_ALL */
} klmesh_row_scales;

/** Writes or adds, with respect to this shard's policy logits as they lie in memory (before their scale), the gradient
 * of  sum over rows of  kl_reverse KL[pi||ref] + kl_forward KL[ref||pi] + logp_policy log pi(y) + entropy_policy H(pi)
 * + jensen_shannon JS(pi, ref).
 *
 * Collective over the vocabulary group, for the agreement alone. Masked and invalid rows get zero.
 * @param policy, reference, inputs as in the klmesh_evaluate() that filled `tokens`
 * @param tokens (token_count) with entries `token_size` bytes apart
 * Cost: one read of both shards, one write.
 * @return INVALID_ARGUMENT on every rank of the group, if shapes are wrong, kl_reverse is weighted in a row where it
 *         is infinite, or jensen_shannon in a row that was not evaluated with KLMESH_ALL */
KLMESH_API klmesh_status klmesh_gradient(klmesh_engine* engine, const klmesh_logits* policy,
                                         const klmesh_logits* reference, const klmesh_row_inputs* inputs,
                                         const klmesh_token* tokens, size_t token_size, int64_t token_count,
                                         const klmesh_row_scales* scales, const klmesh_gradient_output* output,
                                         void* stream);

/* ---- Statistics of a step ---- */

/** Quantities that a step keeps statistics of; index of klmesh_step_statistics.quantities. */
enum {
  KLMESH_KL_REVERSE = 0,
  KLMESH_KL_FORWARD = 1,
  KLMESH_ENTROPY_POLICY = 2,
  KLMESH_ENTROPY_REFERENCE = 3,
  KLMESH_CROSS_ENTROPY_POLICY_REFERENCE = 4,
  KLMESH_CROSS_ENTROPY_REFERENCE_POLICY = 5,
  KLMESH_LOGP_POLICY = 6,
  KLMESH_LOGP_REFERENCE = 7,
  KLMESH_K1 = 8,
  KLMESH_K2 = 9,
  KLMESH_K3 = 10,
  KLMESH_K1_BIAS = 11, /**< k1 - kl_reverse, token by token */
  KLMESH_K2_BIAS = 12,
  KLMESH_K3_BIAS = 13,
  KLMESH_DELTA_P = 14,      /**< pi(y) - ref(y) */
  KLMESH_RATIO_EXCESS = 15, /**< r - 1 */
  /* from here on with KLMESH_ALL alone */
  KLMESH_CHI_SQUARE = 16,
  KLMESH_CHI_SQUARE_REFERENCE_POLICY = 17,
  KLMESH_HELLINGER = 18,
  KLMESH_JENSEN_SHANNON = 19,
  KLMESH_TOTAL_VARIATION = 20,
  KLMESH_SAME_TOP = 21,
  KLMESH_RENYI = 22 /**< with renyi_alpha alone */
};
#define KLMESH_QUANTITIES 23

/** "kl_reverse" and so on, as in files; NULL if there is no such quantity. */
KLMESH_API const char* klmesh_quantity_name(int32_t quantity);

/** Exact sums over tokens: any order, any split over ranks gives the same bits. */
typedef struct klmesh_sums klmesh_sums;

/** @param sequences  number of dense sequence ids of the step, equal on all ranks; 0: no clustered errors. 9 to 13 KB
 *                    for each
 * @param quantities KLMESH_CORE or KLMESH_ALL */
KLMESH_API klmesh_status klmesh_sums_create(int64_t sequences, int32_t quantities, klmesh_sums** sums);

/** NULL is ignored. */
KLMESH_API void klmesh_sums_destroy(klmesh_sums* sums);

/** Adds the owned rows of a batch to `sums`; all rows are in once every rank of the vocabulary group has called it.
 * No communication.
 * @param tokens (token_count) what klmesh_evaluate() filled, with the same `inputs` (may be NULL) */
KLMESH_API klmesh_status klmesh_sums_accumulate(klmesh_engine* engine, const klmesh_token* tokens,
                                                size_t token_size, int64_t token_count,
                                                const klmesh_row_inputs* inputs, klmesh_sums* sums);

/** Adds what another micro-batch of the same step summed.
 * @return INVALID_ARGUMENT if sequences or quantities differ */
KLMESH_API klmesh_status klmesh_sums_merge(klmesh_sums* sums, const klmesh_sums* other);

typedef struct klmesh_reduce_options {
  size_t struct_size;
  int32_t skip_invalid; /**< 1: rows with invalid logits are counted and left out; wrong targets still fail */
  int32_t reserved;     /**< 0 */
} klmesh_reduce_options;

/** Statistics of one quantity; NaN where undefined. This layout never changes. */
typedef struct klmesh_quantity_statistics {
  int64_t count;                   /**< tokens that have this quantity, infinite ones included */
  int64_t infinite;                /**< of these, infinite ones */
  int64_t negative;                /**< of these, below 0 */
  double sum;                      /**< the exact sum, rounded once */
  double mean;
  double min;
  double max;
  double mean_square;
  double variance;                 /**< divisor n - 1 */
  double standard_deviation;
  double standard_error;           /**< tokens as if independent */
  double standard_error_clustered; /**< by sequence: the one to quote */
  double sequence_mean;            /**< mean over sequences of each one's mean over its tokens */
  double sequence_sum;             /**< mean over sequences of each one's sum over its tokens */
  double reserved[2];              /**< 0 */
} klmesh_quantity_statistics;

/** Statistics of a step, over all ranks. */
typedef struct klmesh_step_statistics {
  size_t struct_size;
  int64_t tokens;        /**< counted tokens */
  int64_t masked_tokens; /**< rows left out by the mask */
  int64_t invalid_rows;  /**< rows left out as invalid */
  int64_t sequences;     /**< sequences with at least one counted token; 0 without ids */
  klmesh_quantity_statistics quantities[KLMESH_QUANTITIES]; /**< by KLMESH_KL_REVERSE ... */
} klmesh_step_statistics;

/** Statistics over all ranks, the same bits on every rank. Collective over the mesh: one grouped integer exchange.
 * @param options may be NULL: all defaults
 * @return INVALID_DATA on every rank, naming rank, row and column of the first invalid row, or if no token was counted
 *         anywhere */
KLMESH_API klmesh_status klmesh_sums_reduce(klmesh_engine* engine, const klmesh_sums* sums,
                                            const klmesh_reduce_options* options, klmesh_step_statistics* statistics);

/* ---- Estimators ---- */

/** Monte-Carlo estimators of KL[pi || ref] from log-probabilities of sampled tokens alone, in nats. No engine needed.
 * @param logp_policy, logp_reference (count) inputs; NaN and inf - inf give NaN
 * @param k1, k2, k3 (count) outputs; each may be NULL, or alias an input */
KLMESH_API klmesh_status klmesh_estimators(const double* logp_policy, const double* logp_reference, int64_t count,
                                           double* k1, double* k2, double* k3);

#ifdef __cplusplus
}
#endif

#endif /* KLMESH_KLMESH_H_ */
