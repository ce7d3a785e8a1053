#!/usr/bin/env bash
# Kills jobs with SIGKILL at random instants, all ranks or one, goes on with each, and compares the results with undisturbed ones.
#
#   tests/restart/torture.sh 100                        100 kills, in turn during import, predict, score, select, train, loop, table and policy
#   tests/restart/torture.sh 20 train --pool p.h5 ... --run r    20 kills of a job of your own; its --run or --output gets a suffix
#
#   THRESHER_PROGRAM   the program (default: build/thresher)
#   THRESHER_RANKS     ranks of each job (default: 2)
#   THRESHER_SEED      of the instants (default: 0)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
export THRESHER_PROGRAM=${THRESHER_PROGRAM:-$root/build/thresher}
exec "$python" "$root/tests/restart/torture.py" "$@"
