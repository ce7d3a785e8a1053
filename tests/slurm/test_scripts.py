"""The job scripts of slurm/ on a private cluster of two nodes: to the end, stopped and requeued, and with what goes wrong."""

import os
import pathlib
import signal
import time
import unittest

import h5py
import numpy
from slurm_test import THRESHER, SlurmTest, needs_cluster
from support import curves

needs_cluster(globals())
TWO_BY_TWO = ("--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", "--time=10:00")


class Scripts(SlurmTest):
    def same_curves(self, run, whole):
        self.assertEqual(curves(self.path(f"{run}/run.h5")), curves(self.path(f"{whole}/run.h5")))

    def checkpoints(self, run):
        return [path for path in pathlib.Path(self.path(f"{run}/checkpoints")).glob("*") if path.suffix != ".tmp"]

    def stop_and_requeue(self, job, run):
        """The signal that Slurm sends before the time is up; returns when the job waits to start again."""
        self.until("the run", lambda: pathlib.Path(self.path(f"{run}/config.toml")).exists(), job)
        self.cluster.output("scancel", "--signal=USR1", "--batch", job)
        self.until("the requeue", lambda: self.jobs(job)[0]["Restarts"] == "1", job)

    def test_import(self):
        pathlib.Path(self.path("table.csv")).write_text("x,y,kind\n1,2,0\n3,4,1\n")
        values = dict(source=self.path("table.csv"), pool=self.path("pool.h5"), options="(csv --target-column kind)")
        job = self.run_script("import", ("--time=10:00",), **values)
        with h5py.File(self.path("pool.h5")) as pool:
            numpy.testing.assert_array_equal(pool["targets"][:], [0, 1])
        self.assertIn(f"job {job}, part 1", self.output())
        self.run_script("import", **values)
        self.assertIn("is there already", self.output())

    def test_score_and_select_over_two_nodes_choose_what_one_process_chooses(self):
        pool = self.make_pool()
        learner, reference = self.train(pool, "learner"), self.train(pool, "reference", "--hidden", 8)
        self.run_script("score_select", TWO_BY_TWO, pool=pool, scores=self.path("scores.h5"), batch=self.path("batch.h5"),
                        scoring=f"(--learner {learner} --reference {reference})", selection="(-k 50)")
        self.assertIn("nodes n[1-2]", self.output())
        self.run_ok("select", "--pool", pool, "--learner", learner, "--reference", reference, "--acquisition", "learnability",
                    "-k", 50, "-o", self.path("alone.h5"))
        for ours, alone in zip(self.batch(), self.batch("alone.h5")):
            numpy.testing.assert_array_equal(ours, alone)

    def training(self, updates=120):
        """What train.sbatch is told."""
        options = f"--model mlp --updates {updates} --batch-size 40 --reproducible --checkpoint-every 0.2"
        return dict(pool=self.make_pool(), run=self.path("run"), options=f"({options})")

    def undisturbed(self, values):
        """The same run, by one process."""
        self.run_ok("train", "--pool", values["pool"], *values["options"].strip("()").split(), "--run", self.path("whole"))

    def test_train_stops_at_the_signal_and_goes_on_after_the_requeue_with_the_same_bits(self):
        values = self.training()
        self.undisturbed(values)
        job = self.sbatch(self.edit("train", TWO_BY_TWO, **values))
        self.stop_and_requeue(job, "run")
        self.finish(job)
        self.assertIn(f"job {job} is requeued", self.output())
        self.assertIn(f"job {job}, part 2", self.output())
        self.assertIn("resumed from", self.output())
        self.assertRegex(self.output(), r"--max-walltime 3\d\d ")
        self.same_curves("run", "whole")

    def test_killed_rank_ends_the_step_and_is_named(self):
        job = self.sbatch(self.edit("train", TWO_BY_TWO, **self.training(updates=100000)))
        self.until("a checkpoint", lambda: self.checkpoints("run"), job)
        ranks = self.ranks()
        self.assertEqual(sorted(ranks), [0, 1, 2, 3])
        begin = time.monotonic()
        os.kill(ranks[2], signal.SIGKILL)
        self.finish(job, "FAILED")
        self.assertLess(time.monotonic() - begin, 20.0)
        self.assertRegex(self.output(), r"task 2: Killed")
        self.assertFalse(self.ranks())

    def test_lost_node_requeues_the_job_which_ends_with_the_same_bits(self):
        values = self.training()
        self.undisturbed(values)
        job = self.sbatch(self.edit("train", TWO_BY_TWO, **values))
        self.until("a checkpoint", lambda: self.checkpoints("run"), job)
        self.cluster.lose_second_node()
        self.until("the requeue", lambda: self.jobs(job)[0]["Restarts"] == "1", job)
        self.cluster.replace_second_node()
        self.finish(job)
        self.assertIn("resumed from", self.output())
        self.same_curves("run", "whole")

    def prioritised(self):
        values = self.training()
        reference = self.train(values["pool"], "reference", "--hidden", 8)
        options = f"--model mlp --updates 120 --batch-size 40 --method learnability --reference {reference} --checkpoint-every 0.2"
        return dict(values, options=f"({options})")

    def test_actors_and_learners_by_rank(self):
        self.run_script("actor_learner", TWO_BY_TWO, **self.prioritised())
        self.assertIn("--learners 2 --actors 2", self.output())
        self.assertTrue(pathlib.Path(self.path("run/model.pt")).exists())

    def test_actors_and_learners_in_a_heterogeneous_job_that_is_requeued(self):
        job = self.sbatch(self.edit("actor_learner_het", ("--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--time=10:00"),
                                    **self.prioritised()))
        self.stop_and_requeue(job, "run")
        self.finish(job)
        self.assertIn("--learners 2 --actors 2", self.output())
        self.assertIn("resumed from", self.output())
        self.assertTrue(pathlib.Path(self.path("run/model.pt")).exists())

    def test_table_array_with_a_part_that_fails_is_run_again(self):
        options = ("--environment", "ring", "--records", 400, "--proxy-steps", 20)
        script = self.edit("table_array", ("--ntasks-per-node=2", "--time=10:00"), table=self.path("table.h5"), parts=3,
                           options="(" + " ".join(map(str, options)) + ")")

        def run():
            words = self.cluster.output("bash", script, cwd=self.directory).replace(",", "").split()
            return words[1], words[3]

        os.makedirs(self.path("table.h5.part1.tmp/in-the-way"))
        array, merge = run()
        self.finish(array, state={"COMPLETED", "FAILED"})
        self.assertEqual({one["ArrayTaskId"]: one["JobState"] for one in self.jobs(array)},
                         {"0": "COMPLETED", "1": "FAILED", "2": "COMPLETED"})
        self.finish(merge, "CANCELLED")
        self.assertIn("table.h5.part1", self.output(f"*{array}_1.out"))

        os.rmdir(self.path("table.h5.part1.tmp/in-the-way"))
        os.rmdir(self.path("table.h5.part1.tmp"))
        array, merge = run()
        self.finish(merge)
        for part, there in (("0", True), ("1", False), ("2", True)):
            self.assertEqual("is there already" in self.output(f"*{array}_{part}.out"), there)
        self.run_ok("table", "build", *options, "-o", self.path("whole.h5"))
        with h5py.File(self.path("table.h5")) as table, h5py.File(self.path("whole.h5")) as whole:
            for name in ("numbers", "subsets", "metrics/accuracy"):
                numpy.testing.assert_array_equal(table[name][...], whole[name][...])

    def test_submitted_job_is_stopped_requeued_and_told_of_by_status(self):
        pool, run = self.make_pool(), self.path("run")
        options = ("--pool", pool, "--model", "mlp", "--updates", 120, "--batch-size", 40, "--reproducible")
        self.run_ok("train", *options, "--run", self.path("whole"))
        job = self.cluster.output(THRESHER, "submit", "train", *options, "--run", run, "--nodes", 2, "--ntasks-per-node", 2, "--time",
                                  "10:00", "--sbatch=--comment=x", cwd=self.directory).strip()
        self.stop_and_requeue(job, "run")
        self.finish(job)
        self.same_curves("run", "whole")
        status = self.run_ok("status", run, "--json").json()
        self.assertEqual((status["state"], status["parts"], status["requeues"], status["done"]), ("done", 2, 1, 120))
        self.assertIn(f"Slurm job {job}: requeued", self.run_ok("status", run).out)

    def test_loop_goes_on_after_the_requeue_with_the_same_bits(self):
        pool, test = self.make_pool(), self.make_pool("test.h5", rows=200, seed=1)
        options = ("--model", "mlp", "--acquisitions", "random,entropy", "--initial", 20, "-k", 20, "--cycles", 3,
                   "--updates", 60, "--batch-size", 20, "--reproducible")
        self.run_ok("loop", "--pool", pool, "--test-pool", test, *options, "--run", self.path("whole"))
        job = self.sbatch(self.edit("loop", ("--ntasks-per-node=2", "--cpus-per-task=1", "--time=10:00"), pool=pool, test_pool=test,
                                    run=self.path("run"), options="(" + " ".join(map(str, options)) + " --checkpoint-every 0.2)"))
        self.stop_and_requeue(job, "run")
        self.finish(job)
        self.same_curves("run", "whole")


if __name__ == "__main__":
    unittest.main()
