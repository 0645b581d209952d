/* The parts of test_capi. All are collective over MPI_COMM_WORLD. */
#ifndef KLMESH_TESTS_CAPI_TEST_CAPI_H_
#define KLMESH_TESTS_CAPI_TEST_CAPI_H_

void test_library(void);                    /* version, names, estimators, thread-local text: test_values.c */
void test_values(int batch, int vocab);     /* every value against the closed form */
void test_gradient(int batch, int vocab);   /* every gradient against the closed form */
void test_statistics(int batch, int vocab); /* statistics of a step, in micro-batches */
void test_errors(int batch, int vocab);     /* wrong on one rank: an error on all, with the same text */
void test_meshes(int batch, int vocab);     /* of groups, of one process, refused ones */
void test_null_arguments(void);

#endif
