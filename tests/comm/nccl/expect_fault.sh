#!/usr/bin/env bash
# expect_fault.sh ON_GPUS RANKS SECONDS PATTERN PROGRAM ARGS...: the job ends within SECONDS, not with 0, and says what the
# extended regular expression PATTERN describes, and no line that begins with "wrong". 77 (skipped) as on_gpus.sh does.
set -uo pipefail

on_gpus=$1 ranks=$2 seconds=$3 pattern=$4
shift 4

output=$("$on_gpus" "$ranks" "$seconds" "$@" 2>&1)
code=$?
echo "$output"
if ((code == 77)); then exit 77; fi
# Where mpirun lets survivors go on, to hear what they saw of a rank that died, it ends with 0.
if ((code == 0)) && [[ -z ${OMPI_MCA_orte_enable_recovery:-} ]]; then echo "expect_fault.sh: exit code 0"; exit 1; fi
if ((SECONDS >= seconds)); then echo "expect_fault.sh: no end within $seconds s"; exit 1; fi
if grep -q '^wrong' <<<"$output"; then echo "expect_fault.sh: a wrong number"; exit 1; fi
if ! grep -Eq -- "$pattern" <<<"$output"; then echo "expect_fault.sh: no line like: $pattern"; exit 1; fi
