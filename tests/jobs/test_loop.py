"""Loops that go on where they were."""

import signal
import time
import unittest

import h5py
import numpy

from support import JobTest


class Loop(JobTest):
    def setUp(self):
        super().setUp()
        self.pool, self.test = self.make_pool(rows=300), self.make_pool("test.h5", rows=60, seed=1)
        self.loop = ("loop", "--pool", self.pool, "--test-pool", self.test, "--model", "mlp", "--hidden", 16, "--initial", 10, "-k", 2,
                     "--cycles", 2, "--updates", 3, "--batch-size", 5)

    def make_policy(self, name, *options):
        self.run_ok("policy", "train", "--environment", "ring", "--candidates", 20, "--reward-points", 50, "--environments", 1, "-k", 2,
                    "--updates", 1, "--rewards", "retrained", "--run", self.path(name), *options)
        return self.path(f"{name}/policy.h5")

    def test_every_option_that_changes_results_is_refused_when_a_run_goes_on(self):
        policy, other_policy = self.make_policy("first"), self.make_policy("second", "--learning-rate", 0.5)
        other_pool = self.make_pool("other.h5", rows=300, seed=5)
        model = self.train(self.pool, "reference", "--epochs", 1)
        of_policy = [("initial", "--initial", 12), ("k", "-k", 1), ("cycles", "--cycles", 3), ("repeats", "--repeats", 2),
                     ("pool", "--pool", other_pool), ("test-pool", "--test-pool", self.pool), ("target-pool", "--target-pool", self.test),
                     ("model", "--hidden", 32), ("model", "--dropout", 0.3), ("reference", "--reference", model),
                     ("acquisitions", "--acquisitions", "policy,margin"), ("policy", "--policy", other_policy), ("sample", "--sample"),
                     ("agent", "--agent", "single"), ("joint", "--candidates", 50), ("joint", "--candidates-by", "margin"),
                     ("joint", "--similarity", "rbf"), ("joint", "--configurations", 500), ("joint", "--exact-rows", 7),
                     ("joint", "--margin-factor", 3), ("selector", "--selector", "power"), ("selector", "--beta", 2),
                     ("selector", "--temperature", 0.5), ("samples", "--samples", 4), ("samples", "--consistent-masks"),
                     ("seed", "--seed", 3), ("updates", "--updates", 4), ("batch-size", "--batch-size", 6), ("accumulate", "--accumulate", 2),
                     ("optimizer", "--optimizer", "adamw"), ("learning-rate", "--learning-rate", 0.3), ("momentum", "--momentum", 0.5),
                     ("weight-decay", "--weight-decay", 0.1), ("warmup-epochs", "--warmup-epochs", 2), ("schedule", "--schedule", "constant"),
                     ("label-smoothing", "--label-smoothing", 0.2), ("augment", "--augment", "crop-flip"),
                     ("reproducible", "--reproducible"), ("window-blocks", "--window-blocks", 3)]
        runs = {("--acquisitions", "entropy,policy", "--policy", policy): of_policy,
                ("--acquisitions", "entropy"): [("balance", "--balance", "predictions"), ("oracle", "--oracle", "person")],
                ("--acquisitions", "policy", "--agent", "single", "--agent-updates", 2): [("agent", "--agent-updates", 3),
                                                                                          ("agent", "--agent", "per-cycle")]}
        for number, (begun, changes) in enumerate(runs.items()):
            run = (*self.loop, *begun, "--run", self.path(f"run{number}"))
            self.run_ok(*run)
            for setting, *change in changes:
                with self.subTest(change=change):
                    before = run.index(change[0]) if change[0] in run else len(run)
                    others = (*run[:before], *run[before + 2:])
                    self.assert_fails(2, ["begun with other settings", f"{setting} was"], *others, "--resume", *change)
            self.run_ok(*run, "--resume", "--on-nan", "skip")

    def test_rows_without_a_target_are_not_picked(self):
        with h5py.File(self.pool, "a") as file:
            file["targets"][::2] = -1
        for ranks in (0, 3):
            run = self.path(f"run{ranks}")
            self.run_ok(*self.loop, "--acquisitions", "entropy,random", "--run", run, ranks=ranks)
            with h5py.File(run + "/run.h5") as file:
                for acquisition in ("entropy", "random"):
                    self.assertEqual(file[f"curves/{acquisition}/labelled"][0].tolist(), [10, 12])
                picked = []
                file["cycles"].visititems(lambda name, item: picked.extend(item[:].ravel()) if name.endswith("ids") else None)
            self.assertEqual(len(picked), 2 * 2)
            self.assertTrue(all(row % 2 == 1 for row in picked), picked)
        many = [160 if argument == 10 else argument for argument in self.loop]
        self.assert_fails(2, ["--initial is 160", "150 rows"], *many, "--run", self.path("many"))

    def test_a_stop_signal_is_heard_while_a_policy_is_trained(self):
        loop = (*self.loop, "--acquisitions", "policy", "--agent", "per-cycle", "--agent-updates", 1000, "--run")
        self.run_ok(*loop, self.path("whole"))
        process = self.start(*loop, self.path("stopped"), "--checkpoint-every", 0)
        while process.poll() is None and not list(self.directory.glob("stopped/checkpoints/0*[0-9]/agent.counts")):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate()
        self.assertEqual(process.returncode, 85, error)
        self.assertRegex(error, r"asked to stop after update \d+ of 1000 of the policy")
        resumed = self.run_ok(*loop, self.path("stopped"), "--resume")
        self.assertRegex(resumed.err, r"policy agent: goes on at update [1-9]\d* of 1000")
        with h5py.File(self.path("whole/run.h5")) as whole, h5py.File(self.path("stopped/run.h5")) as stopped:
            for name in ("cycles/policy/0/0/batch_ids", "curves/policy/test_loss"):
                numpy.testing.assert_array_equal(whole[name][:], stopped[name][:])
            # What was trained before the stop is counted once.
            self.assertEqual(whole["ledger/flops/learner"][()], stopped["ledger/flops/learner"][()])

    def test_a_policy_for_batches_of_one_needs_rows_to_be_rewarded_by(self):
        loop = ("loop", "--pool", self.pool, "--test-pool", self.test, "--model", "mlp", "--hidden", 16, "-k", 1, "--cycles", 3, "--updates", 3,
                "--batch-size", 4, "--acquisitions", "policy", "--agent", "per-cycle", "--agent-updates", 2, "--run")
        self.assert_fails(2, ["needs 8 rows for batches of 1", "--initial is 7"], *loop, self.path("few"), "--initial", 7)
        self.run_ok(*loop, self.path("enough"), "--initial", 8)

    def test_the_run_of_another_verb_is_named_as_such(self):
        self.make_policy("policy")
        self.train(self.pool, "train")
        self.run_ok(*self.loop, "--run", self.path("loop"))
        loop = (*self.loop, "--resume", "--run")
        policy = ("policy", "train", "--environment", "ring", "--rewards", "retrained", "--resume", "--run")
        train = ("train", "--pool", self.pool, "--model", "mlp", "--resume", "--run")
        for command, run, file in ((loop, "policy", "loop.json"), (loop, "train", "loop.json"), (policy, "loop", "settings.json"),
                                   (train, "loop", "settings.json")):
            with self.subTest(run=run, command=command[0]):
                self.assert_fails(1, ["of the run of another verb", f"has no {file}", "--overwrite"], *command, self.path(run))


if __name__ == "__main__":
    unittest.main()
