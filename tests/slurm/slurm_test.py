"""Runs the job scripts of slurm/ as a site does: copied, their blocks edited, submitted to a private cluster."""

import os
import pathlib
import re
import shutil
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "jobs"))
from cluster import Cluster, why_not  # noqa: E402
from support import THRESHER, JobTest  # noqa: E402

SCRIPTS = pathlib.Path(__file__).parent.parent.parent / "slurm"
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL"}


def needs_cluster(module):
    """Starts a cluster for the tests of a module, or skips them, saying so."""

    def set_up():
        reason = why_not()
        if reason and os.environ.get("THRESHER_SLURM_TESTS") == "required":
            raise RuntimeError(reason)
        if reason:
            raise unittest.SkipTest(reason)
        SlurmTest.cluster = Cluster()
        unittest.addModuleCleanup(SlurmTest.cluster.stop)
        SlurmTest.cluster.start()

    module["setUpModule"] = set_up


class SlurmTest(JobTest):
    """A scratch directory that both nodes see, with a copy of slurm/ in it."""

    cluster = None

    def setUp(self):
        super().setUp()
        shutil.rmtree(self.directory)
        self.directory = self.cluster.directory / "work" / self.id().rpartition(".")[2]
        self.directory.mkdir(parents=True)
        scripts = self.directory / "slurm"
        shutil.copytree(SCRIPTS, scripts)
        example = (scripts / "site.example.sh").read_text()
        site = example.replace("$HOME/thresher/build:", f"{pathlib.Path(THRESHER).parent}:")
        self.assertNotEqual(site, example)
        (scripts / "site.sh").write_text(site)

    def edit(self, name, sbatch=(), **values):
        """Edits the block of slurm/<name>.sbatch: `sbatch` replaces the options that a line of #SBATCH holds, by their names;
        `values` are given to the variables as they are."""
        script = self.directory / "slurm" / f"{name}.sbatch"
        head, begin, rest = script.read_text().partition("# --- edit from here")
        block, end, body = rest.partition("# --- to here ---\n")
        for option in sbatch:
            name = option.partition("=")[0]
            block, count = re.subn(rf"(?m)^(#SBATCH.* |#SBATCH ){name}=\S+", rf"\g<1>{option}", block)
            self.assertGreater(count, 0, f"{script.name} has no {option}")
        for variable, value in dict(values, slurm=self.directory / "slurm").items():
            block, count = re.subn(rf"(?m)^{variable}=.*$", lambda _: f"{variable}={value}", block)
            self.assertEqual(count, 1, f"{script.name} sets no {variable}")
        script.write_text(head + begin + block + end + body)
        return script

    def sbatch(self, script, *arguments):
        return self.cluster.output("sbatch", "--parsable", script, *arguments, cwd=self.directory).split(";")[0].strip()

    def jobs(self, job):
        """What scontrol says of a job, or of each of an array: name -> value."""
        lines = self.cluster.output("scontrol", "show", "job", "-o", job).splitlines()
        return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines if line.strip()]

    def state(self, job):
        return self.jobs(job)[0]["JobState"]

    def output(self, pattern="*.out"):
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.directory.glob(pattern)))

    def until(self, what, done, job, seconds=120):
        """Waits until `done()` is true, or fails when `job` ends before that."""
        deadline = time.monotonic() + seconds
        while not done():
            self.assertNotIn(self.state(job), ENDED, f"{what}\n{self.output()}")
            self.assertLess(time.monotonic(), deadline, f"{what}\n{self.output()}\n{self.cluster.logs()}")
            time.sleep(0.1)

    def finish(self, job, state="COMPLETED", seconds=120):
        deadline = time.monotonic() + seconds
        states = set()
        while not states or states - ENDED:
            states = {one["JobState"] for one in self.jobs(job)}
            self.assertLess(time.monotonic(), deadline, f"job {job}: {states}\n{self.output()}\n{self.cluster.logs()}")
            time.sleep(0.1)
        self.assertEqual(states, {state} if isinstance(state, str) else state, self.output())

    def run_script(self, name, sbatch=(), **values):
        job = self.sbatch(self.edit(name, sbatch, **values))
        self.finish(job)
        return job

    def ranks(self):
        """Processes of thresher in jobs of the cluster, by rank."""
        found = {}
        for pid in self.cluster.processes():
            try:
                if os.path.samefile(f"/proc/{pid}/exe", THRESHER):
                    rank = re.search(rb"\0SLURM_PROCID=(\d+)", pathlib.Path(f"/proc/{pid}/environ").read_bytes())
                    found[int(rank[1])] = pid
            except OSError:
                continue
        return found
