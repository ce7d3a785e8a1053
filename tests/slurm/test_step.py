"""slurm/step.sh with programs in Slurm's place that do what Slurm does only now and then."""

import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "jobs"))
from support import ENVIRONMENT, THRESHER, JobTest  # noqa: E402

STEP = pathlib.Path(__file__).parent.parent.parent / "slurm" / "step.sh"
# An srun that hangs when its step is over, and a controller that lists no step, because it was over before anybody asked.
PROGRAMS = {
    "srun": 'while [ "$1" != thresher ]; do shift; done\n"$@"\nexec sleep 100',
    "squeue": "echo 1.batch",
    "scontrol": 'echo "scontrol $*"',
}


class HangingSrun(JobTest):
    def run_step(self, *options):
        programs = self.directory / "programs"
        programs.mkdir()
        for name, text in PROGRAMS.items():
            (programs / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
            (programs / name).chmod(0o755)
        script = f'run={self.path("run")}\n. "{STEP}"\nrun_step "$@"'
        environment = dict(ENVIRONMENT, SLURM_JOB_ID="1", SLURM_HET_SIZE="2", SLURM_JOB_NODELIST="n1",
                           PATH=f"{programs}:{pathlib.Path(THRESHER).parent}:{os.environ['PATH']}")
        return subprocess.run(
            ["bash", "-c", script, "bash", "train", "--pool", self.make_pool(), "--run", self.path("run"), "--model", "mlp",
             *map(str, options)],
            capture_output=True, text=True, timeout=60, env=environment, check=False)

    def test_of_a_step_that_is_done_is_ended_and_the_job_succeeds(self):
        step = self.run_step("--updates", 2)
        self.assertEqual(step.returncode, 0, step.stderr)
        self.assertNotIn("scontrol", step.stdout)

    def test_of_a_step_that_asks_for_more_time_is_ended_and_the_job_requeued(self):
        step = self.run_step("--updates", 1000000, "--max-walltime", 1)
        self.assertEqual(step.returncode, 85, step.stderr)
        self.assertIn("scontrol requeue 1", step.stdout)


if __name__ == "__main__":
    unittest.main()
