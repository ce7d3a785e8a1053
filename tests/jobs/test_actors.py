"""Training in which some ranks score and others train, as a user runs it."""

import os
import re
import signal
import subprocess
import time
import unittest

import h5py

from support import JobTest


def ranks_of(mpirun):
    """Process ids of the ranks that an mpirun started, in the order of their ranks."""
    pids = subprocess.run(["pgrep", "-P", str(mpirun.pid)], capture_output=True, text=True).stdout.split()

    def rank(pid):
        with open(f"/proc/{pid}/environ") as file:
            return int(re.search("OMPI_COMM_WORLD_RANK=([0-9]+)", file.read())[1])

    return sorted(map(int, pids), key=rank)


class Actors(JobTest):
    def setUp(self):
        super().setUp()
        self.clean = self.make_pool("clean.h5", rows=400, seed=5)
        self.reference = self.train(self.clean, "reference", "--hidden", 8, "--epochs", 20)
        self.pool = self.make_pool("noisy.h5", rows=2000)

    def options(self, run, *more, updates=60):
        return ("train", "--pool", self.pool, "--model", "mlp", "--batch-size", 50, "--method", "learnability", "--reference",
                self.reference, "--learning-rate", 0.02, "--updates", updates, "--reproducible", "--run", self.path(run), *more)

    def result(self, run):
        """Log-probabilities that the model gives, curves and ledger of the run."""
        self.run_ok("predict", "--pool", self.clean, "--learner", self.path(run + "/model.pt"), "-o",
                    self.path("predictions.h5"), "--overwrite")
        with h5py.File(self.path("predictions.h5")) as file:
            predicted = file["log_probs"][:].tobytes()
        with h5py.File(self.path(run + "/run.h5")) as file:
            curves = {name: file["curves/steps"][name][:] for name in file["curves/steps"]}
            ledger = {}
            file["ledger"].visititems(lambda name, entry: ledger.update({name: entry[()].item()})
                                      if isinstance(entry, h5py.Dataset) else None)
        return predicted, curves, ledger

    def wait_for_checkpoint(self, process, run):
        directory = self.directory / run / "checkpoints"
        while process.poll() is None:
            if directory.exists() and any(name.isdigit() for name in os.listdir(directory)):
                return
            time.sleep(0.01)
        self.fail(process.communicate()[1])

    def read_until(self, process, words):
        told = ""
        for line in process.stderr:
            told += line
            if words in line:
                return told
        self.fail(told)

    def assert_same(self, found, expected):
        self.assertEqual(found[0], expected[0])
        self.assertEqual(set(found[1]) - set(expected[1]), {"staleness"})
        for name, curve in expected[1].items():
            self.assertEqual(found[1][name].tobytes(), curve.tobytes(), name)

    def test_never_behind_is_co_located_training(self):
        self.run_ok(*self.options("whole"))
        expected = self.result("whole")
        for learners, actors, more in ((1, 1, ()), (1, 3, ()), (2, 2, ("--ship-inputs",))):
            run = f"run-{learners}-{actors}"
            self.run_ok(*self.options(run, "--actors", actors, "--learners", learners, "--max-staleness", 0, *more),
                        ranks=learners + actors)
            found = self.result(run)
            self.assert_same(found, expected)
            for role in ("learner", "online", "score_online", "score_reference"):
                self.assertEqual(found[2]["flops/" + role], expected[2]["flops/" + role])
            self.assertEqual(found[2]["staleness/0"], 60 * 100)
            for role in ("actors", "learners"):
                for what in ("computed", "waited", "communicated"):
                    self.assertGreater(found[2][f"{role}/{what}"], 0.0)
            self.assertFalse(found[1]["staleness"].any())

    def test_scores_are_behind_as_far_as_allowed(self):
        facts = self.run_ok(*self.options("run", "--actors", 2, "--max-staleness", 3, "--publish-every", 2, "--json"),
                            ranks=3).json()
        self.assertEqual(facts["updates"], 60)
        _, curves, ledger = self.result("run")
        behind = {int(name.split("/")[1]): rows for name, rows in ledger.items() if name.startswith("staleness/")}
        self.assertLessEqual(max(behind), 3)
        self.assertEqual(sum(behind.values()), 60 * 100)
        self.assertAlmostEqual(curves["staleness"].sum() * 100, sum(s * rows for s, rows in behind.items()))
        self.assertGreater(curves["chosen_score"].mean(), curves["candidate_score"].mean())

    def test_an_actor_that_stops_is_passed_over_and_taken_back(self):
        self.run_ok(*self.options("whole", updates=1500))
        process = self.start(*self.options("run", "--actors", 2, "--max-staleness", 0, "--actor-patience", 0.3,
                                           "--checkpoint-every", 0.5, updates=1500), ranks=3)
        stopped = None
        try:
            self.wait_for_checkpoint(process, "run")
            stopped = ranks_of(process)[2]
            os.kill(stopped, signal.SIGSTOP)
            self.read_until(process, "the actor on rank 2 has not answered for 0.3 s; the others take over")
            os.kill(stopped, signal.SIGCONT)
            self.read_until(process, "the actor on rank 2 answers again")
            stopped = None
            told = process.communicate(timeout=100)[1]
        finally:
            if stopped is not None:
                self.kill_all(process)
        self.assertEqual(process.returncode, 0, told)
        self.assert_same(self.result("run"), self.result("whole"))

    def kill_an_actor(self, run, *more):
        """Starts a run with three actors and kills one, after a checkpoint; MPI ends the others."""
        process = self.start(*self.options(run, "--actors", 3, "--checkpoint-every", 0.3, *more, updates=1000), ranks=4)
        self.wait_for_checkpoint(process, run)
        os.kill(ranks_of(process)[3], signal.SIGKILL)
        process.communicate(timeout=60)
        self.assertNotEqual(process.returncode, 0)

    def test_killed_and_resumed_with_other_actors(self):
        self.run_ok(*self.options("whole", updates=1000))
        never_behind = ("--max-staleness", 0)
        self.kill_an_actor("run", *never_behind)
        self.run_ok(*self.options("run", "--actors", 1, *never_behind, "--resume", updates=1000), ranks=2)
        found = self.result("run")
        self.assert_same(found, self.result("whole"))
        self.assertEqual(found[2]["staleness/0"], 1000 * 100)

    def test_killed_and_resumed_no_candidate_is_lost_or_counted_twice(self):
        self.kill_an_actor("run")
        resumed = self.run_ok(*self.options("run", "--actors", 2, "--resume", updates=1000), ranks=3)
        self.assertIn("resumed from", resumed.err)
        _, curves, ledger = self.result("run")
        self.assertEqual(sum(rows for name, rows in ledger.items() if name.startswith("staleness/")), 1000 * 100)
        for name, curve in curves.items():
            self.assertEqual(len(curve), 1000, name)
        self.assertLessEqual(curves["staleness"].max(), 4)

    def test_a_stop_signal_writes_a_checkpoint(self):
        process = self.start(*self.options("run", "--actors", 2, "--max-staleness", 0, "--checkpoint-every", 0.3,
                                           updates=1000), ranks=3)
        self.wait_for_checkpoint(process, "run")
        os.kill(ranks_of(process)[1], signal.SIGUSR1)  # to an actor alone
        told = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 85, told)
        self.assertIn("--resume", told)
        self.run_ok(*self.options("run", "--resume", updates=1000))  # without actors
        self.run_ok(*self.options("whole", updates=1000))
        self.assert_same(self.result("run"), self.result("whole"))

    def test_refused(self):
        def fails(code, words, *options, ranks=3, method="learnability"):
            self.assert_fails(code, words, "train", "--pool", self.pool, "--model", "mlp", "--epochs", 1, "--run",
                              self.path("never"), "--method", method, "--reference", self.reference, *options, ranks=ranks)
            self.assertFalse(os.path.exists(self.path("never/model.pt")))

        fails(2, ["--actors 3 and --learners 1", "the job has 3", "-n 4"], "--actors", 3)
        fails(2, ["--actors 1 and --learners 1", "the job has 3", "-n 2"], "--actors", 1)
        fails(2, ["--actors 1 and --learners 1", "the job has 1"], "--actors", 1, ranks=0)
        fails(2, ["--learners 2", "--actors"], "--learners", 2)
        fails(2, ["uniform", "scores nothing"], "--actors", 2, method="uniform")
        fails(2, ["nothing for actors to score", "--filter-ratio"], "--actors", 2, "--filter-ratio", 1)
        fails(2, ["--publish-every is 3", "1 to 2"], "--actors", 2, "--max-staleness", 1, "--publish-every", 3)
        fails(2, ["--max-staleness is -1"], "--actors", 2, "--max-staleness", -1)
        fails(2, ["--actor-device", "--device"], "--actor-device", "cpu")
        fails(1, ["a loss of nan", "newest checkpoint"], "--actors", 2, "--learning-rate", 1e30)


if __name__ == "__main__":
    unittest.main()
