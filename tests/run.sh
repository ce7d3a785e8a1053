#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests; ctest's summary comes last.
#
#   bash tests/run.sh                 all tests
#   bash tests/run.sh -L unit         what follows goes to ctest
set -euo pipefail
# shellcheck source=jobs/setup.sh
. "$(dirname "$0")/../jobs/setup.sh"

# A private Slurm cluster runs the scripts of slurm/ (tests/slurm).
packages+=(slurm-wlm munge)
install_packages
install_python
build_target all
say "Testing"
show "ctest --test-dir $build --output-on-failure $*"
exec ctest --test-dir "$build" --output-on-failure -j2 "$@"
