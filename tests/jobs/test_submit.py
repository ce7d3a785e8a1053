"""thresher submit writes a script that says what it was asked; thresher status tells how a run stands, from its files."""

import json
import os
import pathlib
import signal
import subprocess
import unittest

from support import JobTest


class Submit(JobTest):
    def submit(self, *arguments, **options):
        return self.run_ok("submit", *arguments, **options)

    def fake_sbatch(self, body):
        """A directory for the PATH with an sbatch that does what `body` says."""
        tools = self.directory / "tools"
        tools.mkdir(exist_ok=True)
        (tools / "sbatch").write_text(f"#!/bin/sh\n{body}\n")
        (tools / "sbatch").chmod(0o755)
        return {"PATH": f"{tools}:{os.environ['PATH']}"}

    def test_dry_run_prints_the_script_and_writes_nothing(self):
        pool = self.make_pool()
        script = self.submit("train", "--pool", pool, "--model", "mlp", "--run", self.path("run"), "--seed", 3, "--nodes", 4, "--time",
                             "2:00:00", "--gpus-per-node=2", "--sbatch=--mem=0", "--partition", "fast", "--dry-run").out
        for line in ("--nodes=4", "--time=2:00:00", "--gpus-per-node=2", "--ntasks-per-node=2", "--mem=0", "--partition=fast", "--requeue",
                     "--signal=B:USR1@300", "--open-mode=append"):
            self.assertIn(f"#SBATCH {line}\n", script)
        self.assertIn(f"run_step train --pool {pool} --model mlp --run {self.path('run')} --seed 3 --threads 1 --resume --max-walltime "
                      '"$(walltime_left)"', script)
        self.assertFalse(os.path.exists(self.path("run")))
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)

    def test_script_goes_into_the_run_directory_and_the_job_id_is_printed(self):
        pool = self.make_pool()
        tools = self.fake_sbatch('echo "$@" > "$0.arguments"; echo "17;cluster"')
        run = self.path("runs/önë run's")
        result = self.submit("train", "--pool", pool, "--model", "mlp", "--run", run, "--nodes", 2, environment=tools)
        self.assertEqual(result.out, "17\n")
        script = pathlib.Path(run, "submit.sbatch").read_text()
        self.assertIn(f"#SBATCH --output=\"{run}/slurm-%j.out\"\n", script)
        self.assertEqual((self.directory / "tools/sbatch.arguments").read_text(), f"--parsable {run}/submit.sbatch\n")
        # The step, as a shell reads it.
        head, _, step = script.rpartition("run_step ")
        words = subprocess.run(["bash", "-c", 'walltime_left() { echo 9; }; printf "%s\\n" ' + step], capture_output=True, text=True,
                               check=True).stdout.splitlines()
        self.assertEqual(words, ["train", "--pool", pool, "--model", "mlp", "--run", run, "--threads", "1", "--resume", "--max-walltime", "9"])

    def test_verbs_that_do_not_stop_are_sent_no_signal(self):
        script = self.submit("select", "--scores", self.make_scores([1, 2, 3]), "-k", 1, "-o", self.path("batch.h5"), "--dry-run").out
        self.assertNotIn("USR1@", script)
        self.assertNotIn("--resume", script.rpartition("run_step ")[2])

    def test_run_may_be_named_in_a_config_and_json_tells_the_job(self):
        pool = self.make_pool()
        tools = self.fake_sbatch("echo 17")
        run, config = self.path("runs/100% of it"), self.path("train.toml")
        pathlib.Path(config).write_text(f'pool = "{pool}"\nmodel = "mlp"\nrun = "{run}"\n')
        result = self.submit("--json", "train", "--config", config, environment=tools)
        facts = json.loads(result.out)
        self.assertEqual((facts["job"], facts["script"]), ("17", f"{run}/submit.sbatch"))
        script = pathlib.Path(run, "submit.sbatch").read_text()
        self.assertIn(f'#SBATCH --output="{self.path("runs")}/100%% of it/slurm-%j.out"\n', script)
        self.assert_fails(2, ["double quote"], "submit", "train", "--pool", pool, "--model", "mlp", "--run", self.path('a"b'),
                          environment=tools)
        select = ("select", "--scores", self.make_scores([1, 2, 3]), "-k", 1, f"-o{self.path('batch.h5')}")
        self.submit(*select, environment=tools)
        self.assertTrue(os.path.exists(self.path("batch.h5.sbatch")))

    def test_mistakes_are_told_before_anything_is_submitted(self):
        pool = self.make_pool()
        tools = self.fake_sbatch("echo no partition of this name >&2; exit 1")
        self.assert_fails(2, ["--colour", "nothing was submitted"], "submit", "train", "--pool", pool, "--model", "mlp", "--run",
                          self.path("run"), "--colour", "red")
        self.assert_fails(2, ["--run is required", "nothing was submitted"], "submit", "train", "--pool", pool, "--model", "mlp")
        self.assert_fails(2, ["neither --run nor --output"], "submit", "list", "acquisitions")
        self.assert_fails(2, ["name the verb"], "submit", "--nodes", 2)
        self.assert_fails(2, ["does not exist"], "submit", "train", "--run", self.path("run"), "--site", self.path("none"))
        self.assert_fails(1, ["no partition of this name", "exit code 1"], "submit", "train", "--pool", pool, "--model", "mlp", "--run",
                          self.path("run"), environment=tools)
        self.assert_fails(1, ["sbatch cannot be started"], "submit", "train", "--pool", pool, "--model", "mlp", "--run",
                          self.path("run"), environment={"PATH": self.path("tools/none")})


class Status(JobTest):
    def status(self, run):
        return json.loads(self.run_ok("status", self.path(run), "--json").out)

    def test_of_a_run_that_is_live_killed_requeued_and_done(self):
        pool = self.make_pool(rows=3000, shape=(1, 28, 28))
        command = ("train", "--pool", pool, "--model", "cnn", "--epochs", 40, "--batch-size", 100, "--checkpoint-every", 0.1, "--run",
                   self.path("run"))
        process = self.start(*command)
        checkpoints = pathlib.Path(self.path("run/checkpoints"))
        while not checkpoints.exists() or not [path for path in checkpoints.iterdir() if path.suffix != ".tmp"]:
            self.assertIsNone(process.poll())
        live = self.status("run")
        self.assertEqual((live["state"], live["exit_code"], live["parts"], live["unit"], live["total"]),
                         ("running", -1, 1, "updates", 1200))
        self.assertGreater(int(live["checkpoint"]), 0)
        self.kill_all(process)
        self.assertEqual(self.status("run")["state"], "killed")

        process = self.start(*command, "--resume")
        while self.status("run")["parts"] < 2:
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGUSR1)
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 85, error)
        stopped = self.status("run")
        self.assertEqual((stopped["state"], stopped["exit_code"], stopped["parts"], stopped["requeues"]), ("requeued", 85, 2, 1))
        self.assertIn("asked to stop", stopped["message"])
        self.assertEqual(stopped["done"], int(stopped["checkpoint"]))

    def test_killed_run_whose_process_number_is_another_process_by_now(self):
        pool = self.make_pool()
        self.train(pool, "run")
        status = pathlib.Path(self.path("run/status.json"))
        facts = json.loads(status.read_text())
        facts["parts"][-1] |= {"exit_code": -1, "ended_utc": "", "process": os.getpid()}
        status.write_text(json.dumps(facts))
        self.assertEqual(self.status("run")["state"], "killed")
        facts["parts"][-1]["process"] = 0
        status.write_text(json.dumps(facts))
        self.assert_fails(1, ["status.json", "process 0"], "status", self.path("run"))

    def test_loop_that_waits_for_a_person(self):
        pool = self.make_pool()
        self.run_ok("loop", "--pool", pool, "--test-pool", pool, "--model", "mlp", "--acquisitions", "entropy", "--initial", 6, "-k", 4,
                    "--cycles", 2, "--updates", 5, "--batch-size", 6, "--oracle", "person", "--run", self.path("run"))
        waiting = self.status("run")
        self.assertEqual((waiting["state"], waiting["exit_code"]), ("waiting", 0))
        self.assertIn("batch.csv", waiting["message"])

    def test_of_a_run_that_is_done_and_of_one_that_failed(self):
        pool = self.make_pool()
        self.train(pool, "done", ranks=2)
        done = self.status("done")
        self.assertEqual((done["state"], done["exit_code"], done["requeues"]), ("done", 0, 0))
        self.assertEqual(done["done"], done["total"])
        text = self.run_ok("status", self.path("done")).out
        self.assertIn("state       done", text)
        self.assertIn("2 ranks", text)
        self.run_any("train", "--pool", pool, "--model", "mlp", "--epochs", 2, "--learning-rate", 1e30, "--run", self.path("failed"))
        failed = self.status("failed")
        self.assertEqual((failed["state"], failed["exit_code"]), ("failed", 1))
        self.assertIn("not finite", failed["message"])
        self.assert_fails(1, ["no job has begun there"], "status", self.path("nowhere"))


if __name__ == "__main__":
    unittest.main()
