"""slurm/step.sh with programs in Slurm's place that do what Slurm does only now and then."""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "jobs"))
from support import ENVIRONMENT, THRESHER, JobTest  # noqa: E402

STEP = pathlib.Path(__file__).parent.parent.parent / "slurm" / "step.sh"
# A controller that never lists a step: it was over before anybody asked, or is not there yet.
PROGRAMS = {"squeue": "echo 1.batch", "scontrol": 'echo "scontrol $*"'}
STEP_OF_SRUN = 'while [ "$1" != thresher ]; do shift; done'


class HetStep(JobTest):
    """Of a heterogeneous job."""

    def run_step(self, *options, **programs_of_test):
        programs = self.directory / "programs"
        programs.mkdir(exist_ok=True)
        for name, text in {**PROGRAMS, **programs_of_test}.items():
            (programs / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
            (programs / name).chmod(0o755)
        script = f'run={self.path("run")}\n. "{STEP}"\nrun_step "$@"'
        environment = dict(ENVIRONMENT, SLURM_JOB_ID="1", SLURM_HET_SIZE="2", SLURM_JOB_NODELIST="n1",
                           PATH=f"{programs}:{pathlib.Path(THRESHER).parent}:{os.environ['PATH']}")
        return subprocess.run(
            ["bash", "-c", script, "bash", "train", "--pool", self.make_pool(), "--run", self.path("run"), "--model", "mlp",
             *map(str, options)],
            capture_output=True, text=True, timeout=60, env=environment, check=False)

    def run_hanging(self, *options):
        """With an srun that hangs when its step is over."""
        return self.run_step(*options, srun=f'{STEP_OF_SRUN}\n"$@"\nexec sleep 100')

    def test_hanging_srun_of_a_step_that_is_done_is_ended_and_the_job_succeeds(self):
        step = self.run_hanging("--updates", 2)
        self.assertEqual(step.returncode, 0, step.stderr)
        self.assertNotIn("scontrol", step.stdout)

    def test_hanging_srun_of_a_step_that_asks_for_more_time_is_ended_and_the_job_requeued(self):
        step = self.run_hanging("--updates", 1000000, "--max-walltime", 1)
        self.assertEqual(step.returncode, 85, step.stderr)
        self.assertIn("scontrol requeue 1", step.stdout)

    def test_srun_that_waits_for_its_step_is_left_alone_though_the_run_does_not_always_answer(self):
        waits = f'{STEP_OF_SRUN}\nsleep 9\nexec "$@"'
        self.assertEqual(self.run_step("--updates", 2, srun=waits).returncode, 0)
        for failing in (1, 2):  # the question before the step begins, and the first of those that follow
            asked = self.path(f"asked-{failing}")
            sometimes = f"""if [ "$1" = status ]; then
    echo >> "{asked}"
    [ "$(wc -l < "{asked}")" -ne {failing} ] || exit 1
fi
exec "{THRESHER}" "$@\""""
            step = self.run_step("--updates", 2, "--overwrite", srun=waits, thresher=sometimes)
            self.assertEqual(step.returncode, 0, step.stderr)
            self.assertGreaterEqual(len(pathlib.Path(asked).read_text()), failing)


if __name__ == "__main__":
    unittest.main()
