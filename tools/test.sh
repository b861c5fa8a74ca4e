#!/usr/bin/env bash
# Boots a Slurm where none answers, then runs the tests: test.sh PYTEST-ARGUMENTS...
#
# Where no Slurm could be booted the tests that need one are skipped, and that is said loudly, both
# here and at the end. Where they are required (CI=true or DATALAD_HPC_REQUIRE_SLURM=1) that is a
# failure instead.
set -euo pipefail
tools=$(dirname "$0")

loudly() {
    printf '\n%s\n' '################################################################'
    printf '##  %s\n' "$@"
    printf '%s\n\n' '################################################################'
}

is_required() { [[ ${CI:-} == true || ${DATALAD_HPC_REQUIRE_SLURM:-} == 1 ]]; }

# Progress is shown; what stands on standard error is the reason.
if ! { reason=$("$tools/boot-slurm.sh" 2>&1 >&3); } 3>&1; then
    if is_required; then
        loudly "FAILED: the tests on Slurm are required here, and it could not be booted." "$reason" >&2
        exit 1
    fi
    loudly "THE TESTS THAT NEED SLURM WILL BE SKIPPED." "$reason"
    export DATALAD_HPC_NO_SLURM=$reason
fi
# DataLad complains where Git knows no name; the tests bring one of their own.
export GIT_AUTHOR_NAME=Tester GIT_AUTHOR_EMAIL=tester@example.com
# Half of the time a test waits for a job. More workers than four would all wait for one scheduler.
workers=$((2 * $(nproc)))
exec python -m pytest -n $((workers < 4 ? workers : 4)) --dist loadgroup "$@"
