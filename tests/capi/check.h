/* Checks that count and go on: a rank that left would keep the others waiting. */
#ifndef KLMESH_TESTS_CAPI_CHECK_H_
#define KLMESH_TESTS_CAPI_CHECK_H_

/* Failures so far on this rank. */
extern int failures;

void check_true(int condition, const char* text, const char* file, int line);
/* |actual - expected| <= tolerance * max(|expected|, floor); NaN fails. */
void check_near(double actual, long double expected, double tolerance, double floor, const char* text, const char* file,
                int line);
/* The status, and that klmesh_last_error() contains `part` if it is a failure. */
void check_status(int actual, int expected, const char* part, const char* text, const char* file, int line);

#define CHECK(condition) check_true((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define CHECK_NEAR(actual, expected, tolerance) \
  check_near(actual, expected, tolerance, 1e-3, #actual, __FILE__, __LINE__)
#define CHECK_OK(call) check_status(call, 0, "", #call, __FILE__, __LINE__)
#define CHECK_FAILS(call, status, part) check_status(call, status, part, #call, __FILE__, __LINE__)

#endif
