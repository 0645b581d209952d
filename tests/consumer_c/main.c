/* Estimators from log-probabilities, and an error that arrives as a status. */
#include <klmesh/klmesh.h>

#include <stdio.h>

int main(void) {
  const double logp_policy = -1.0, logp_reference = -1.5;
  double k1 = 0, k2 = 0;
  if (klmesh_estimators(&logp_policy, &logp_reference, 1, &k1, &k2, NULL) != KLMESH_OK) {
    fprintf(stderr, "consumer_c: %s\n", klmesh_last_error());
    return 1;
  }
  const klmesh_status refused = klmesh_mesh_create_self(NULL);
  printf("klmesh %s: k1 %g, k2 %g; a null handle is %s\n", klmesh_version(), k1, k2, klmesh_status_name(refused));
  return k1 == 0.5 && k2 == 0.125 && refused == KLMESH_INVALID_ARGUMENT ? 0 : 1;
}
