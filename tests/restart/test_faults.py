"""What a machine does to a job: full and read-only disks, files that change while they are read, ranks that stop, limits. The table is in
docs/reliability.md."""

import errno
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

import h5py
import numpy

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "jobs"))
from support import ENVIRONMENT, JobTest, children_of, command  # noqa: E402

IS_ROOT = os.geteuid() == 0


class FaultTest(JobTest):
    def mount(self, name, options):
        place = self.directory / name
        place.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True).returncode != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", place])
        return place

    def writers(self, place):
        """A command for each file that the program writes, its output in `place`, and what the output is called."""
        pool = self.make_pool(rows=3000)
        learner = self.train(pool, "learner")
        with open(self.path("table.csv"), "w") as file:
            file.write("".join(f"{row % 7},{row % 11},{row % 3}\n" for row in range(20000)))
        training = ("--pool", pool, "--model", "mlp", "--hidden", 512, "--batch-size", 50, "--run", place / "run")
        ring = ("--environment", "ring")
        return {
            "import": ("out.h5", "import", "csv", self.path("table.csv"), "--target-column", 2, "-o", place / "out.h5"),
            "import to shards": ("out", "import", "csv", self.path("table.csv"), "--target-column", 2, "--rows-per-shard", 9000, "-o",
                                 place / "out"),
            "derive": ("out.h5", "derive", "--pool", pool, "--label-noise", 0.2, "-o", place / "out.h5"),
            "predict": ("out.h5", "predict", "--pool", pool, "--learner", learner, "-o", place / "out.h5"),
            "score": ("out.h5", "score", "--pool", pool, "--learner", learner, "--acquisition", "entropy,margin,random", "-o",
                      place / "out.h5"),
            "select": ("out.h5", "select", "--pool", pool, "--acquisition", "random", "-k", 3000, "-o", place / "out.h5"),
            "train": ("run", "train", *training, "--epochs", 1),
            "loop": ("run", "loop", "--test-pool", pool, "--acquisitions", "random", "--initial", 20, "-k", 20, "--cycles", 2,
                     "--updates", 5, *training),
            "table": ("out.h5", "table", "build", *ring, "--records", 2000, "--proxy-steps", 5, "-o", place / "out.h5"),
            "policy": ("run", "policy", "train", *ring, "--candidates", 40, "-k", 5, "--environments", 2, "--updates", 2, "--records", 20,
                       "--hidden", 64, "--run", place / "run"),
        }


class Disk(FaultTest):
    @unittest.skipUnless(IS_ROOT, "mounts a small tmpfs, which needs root")
    def test_full_disk_in_every_writer(self):
        small = self.mount("small", "size=16k")
        for name, (output, *words) in self.writers(small).items():
            for ranks in (0,) if words[0] in ("import", "derive") else (0, 2):
                with self.subTest(name, ranks=ranks):
                    result = self.run_any(*words, ranks=ranks)
                    self.assertEqual(result.code, 1, result.err)
                    self.assertIn("small/", result.err)
                    self.assertRegex(result.err, "No space left|bytes of disk")
                    self.assertFalse((small / output / "model.pt").exists())
                    if output != "run":
                        self.assertFalse((small / output).exists(), "half a file was left")
                for left in small.iterdir():
                    shutil.rmtree(left) if left.is_dir() else left.unlink()

    @unittest.skipUnless(IS_ROOT, "mounts a read-only tmpfs, which needs root")
    def test_read_only_directory_in_every_writer(self):
        fixed = self.mount("fixed", "size=16k")
        writers = self.writers(fixed)
        subprocess.run(["mount", "-o", "remount,ro", fixed], check=True)
        for name, (_, *words) in writers.items():
            with self.subTest(name):
                self.assert_fails(1, ["fixed/", os.strerror(errno.EROFS)], *words)

    def test_paths_with_spaces_and_letters_of_any_alphabet(self):
        place = self.directory / "my rüns" / "选 '择'"
        place.mkdir(parents=True)
        for name, (output, *words) in self.writers(place).items():
            with self.subTest(name):
                self.run_ok(*words)
                self.assertTrue((place / output).exists())
                self.run_ok("info", place / output) if output != "run" else self.run_ok("status", place / output)
                shutil.rmtree(place / output) if (place / output).is_dir() else (place / output).unlink()

    def test_few_descriptors_and_a_pool_of_5000_shards(self):
        shards = 5000
        (self.directory / "pool").mkdir()
        entries = []
        for shard in range(shards):
            path = self.directory / "pool" / f"{shard:06}.h5"
            if shard == 0:
                with h5py.File(path, "w") as file:
                    file["inputs"] = numpy.arange(16, dtype="u1").reshape(4, 4)
            else:
                os.link(self.directory / "pool" / "000000.h5", path)
            entries.append({"file": path.name, "first_row": 4 * shard, "rows": 4, "bytes": path.stat().st_size, "checksum": ""})
        (self.directory / "pool/manifest.json").write_text(json.dumps(
            {"format": "thresher-shards", "format_version": 1, "rows": 4 * shards, "classes": 0, "shards": entries}))
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, limit[1]))
        self.run_ok("select", "--pool", self.path("pool"), "--acquisition", "random", "-k", 50, "-o", self.path("batch.h5"), ranks=2)
        self.assertEqual(len(set(self.batch()[0])), 50)


class Inputs(FaultTest):
    def test_file_that_is_cut_short_while_it_is_read(self):
        pool = self.make_pool(rows=20000, shape=(1, 16, 16))
        for ranks in (0, 2):
            process = self.start("train", "--pool", pool, "--model", "mlp", "--epochs", 10000, "--cache", 0, "--run",
                                 self.path(f"run{ranks}"), ranks=ranks)
            self.addCleanup(self.kill_all, process)
            while not pathlib.Path(self.path(f"run{ranks}/config.toml")).exists():
                self.assertIsNone(process.poll())
            shutil.copy(pool, self.path("kept.h5"))
            os.truncate(pool, 100000)
            _, error = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1)
            self.assertIn("pool.h5", error)
            shutil.copy(self.path("kept.h5"), pool)

    def test_file_that_is_removed_while_it_is_read_is_read_to_the_end(self):
        pool = self.make_pool(rows=3000)
        command = ("train", "--pool", pool, "--model", "mlp", "--epochs", 20)
        self.run_ok(*command, "--run", self.path("whole"))
        process = self.start(*command, "--run", self.path("run"))
        while not pathlib.Path(self.path("run/config.toml")).exists():
            self.assertIsNone(process.poll())
        os.unlink(pool)
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, error)

    def flip(self, path, after):
        """Changes one bit of a file, behind the first `after`."""
        data = bytearray(pathlib.Path(path).read_bytes())
        data[data.index(after) + len(after)] ^= 4
        pathlib.Path(path).write_bytes(data)

    def test_bit_that_flipped_in_a_shard_a_batch_or_a_checkpoint_is_found_and_the_file_named(self):
        with open(self.path("table.csv"), "w") as file:
            file.write("".join(f"{row},{row % 3}\n" for row in range(3000)))
        pool, batch = self.path("pool"), self.path("batch.h5")
        self.run_ok("import", "csv", self.path("table.csv"), "--target-column", 1, "--rows-per-shard", 1000, "-o", pool)
        training = ("train", "--pool", pool, "--model", "mlp", "--epochs", 1, "--run", self.path("run"))
        self.run_ok(*training)
        self.run_ok("select", "--pool", pool, "--acquisition", "random", "-k", 100, "-o", batch)
        for path in (pool, batch, self.path("run")):
            self.run_ok("info", path, "--verify")
        shard = sorted(pathlib.Path(pool).glob("*.h5"))[1]
        self.flip(shard, numpy.float32(1234).tobytes())
        self.assert_fails(1, [shard.name, "checksum"], "info", pool, "--verify")
        self.flip(batch, self.batch()[0][:3].tobytes())
        self.assert_fails(1, ["batch.h5", "the attribute checksum"], "info", batch, "--verify")
        self.assert_fails(1, ["batch.h5", "the attribute checksum"], "train", "--pool", pool, "--rows", batch, "--model", "mlp", "--run",
                          self.path("other"))
        weighted = self.path("weighted.h5")
        self.run_ok("select", "--pool", pool, "--acquisition", "random", "--selector", "softmax", "-k", 100, "--weights", "-o", weighted)
        with h5py.File(weighted) as file:
            weights = file["weights"][:3].tobytes()
        self.flip(weighted, weights)
        self.assert_fails(1, ["weighted.h5", "the attribute checksum"], "info", weighted, "--verify")
        newest = max(pathlib.Path(self.path("run/checkpoints")).iterdir())
        self.flip(newest / "ledger.json", b"{")
        self.assert_fails(1, [f"{newest.name}/ledger.json", "checksum"], "info", self.path("run"), "--verify")
        # There is none before it, so the run cannot go on, and says why.
        self.assert_fails(1, ["no checkpoint is whole", f"{newest.name}/ledger.json"], *training, "--resume")

    def test_formats_that_are_newer_are_refused_by_name(self):
        pool = self.make_pool()
        self.run_ok("select", "--pool", pool, "--acquisition", "random", "-k", 5, "-o", self.path("batch.h5"))
        with h5py.File(self.path("batch.h5"), "a") as file:
            file.attrs["format_version"] = 99
        self.assert_fails(1, ["batch.h5", "99"], "train", "--pool", pool, "--rows", self.path("batch.h5"), "--model", "mlp", "--run",
                          self.path("run"))
        with h5py.File(pool, "a") as file:
            file.attrs["format"], file.attrs["format_version"] = "thresher-pool", 99
        self.assert_fails(1, ["pool.h5", "99"], "select", "--pool", pool, "--acquisition", "random", "-k", 5, "-o", self.path("b.h5"))

    def test_checkpoint_of_another_format_is_passed_over_by_name(self):
        pool = self.make_pool()
        command = ("train", "--pool", pool, "--model", "mlp", "--epochs", 2, "--batch-size", 100, "--run", self.path("run"))
        self.run_ok(*command)
        manifest = next(pathlib.Path(self.path("run/checkpoints")).glob("*/manifest.json"))
        manifest.write_text(re.sub(r'"format_version": \d+', '"format_version": 99', manifest.read_text()))
        self.assert_fails(1, [str(manifest.parent.name), "99"], *command, "--resume")


class OddMachine(FaultTest):
    """Calls of the system answered as another machine would, by a library that is loaded first."""

    SHIM = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <errno.h>
        #include <stdlib.h>
        #include <time.h>
        int flock(int file, int what) {
            static int (*real)(int, int);
            if (!real) real = dlsym(RTLD_NEXT, "flock");
            const char* code = getenv("ODD_FLOCK");
            if (!code) return real(file, what);
            errno = atoi(code);
            return -1;
        }
        int clock_gettime(clockid_t clock, struct timespec* now) {
            static int (*real)(clockid_t, struct timespec*);
            static long calls;
            if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
            const int result = real(clock, now);
            if (getenv("ODD_CLOCK") && clock == CLOCK_REALTIME) now->tv_sec -= 60 * ++calls;
            return result;
        }
        """

    def setUp(self):
        super().setUp()
        source = self.directory / "odd.c"
        source.write_text(self.SHIM)
        library = self.path("odd.so")
        if shutil.which("cc") is None or subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"]).returncode != 0:
            self.skipTest("no C compiler")
        self.library = library

    def odd(self, **variables):
        return {"LD_PRELOAD": self.library, **variables}

    def test_clock_that_goes_backwards_changes_nothing(self):
        pool = self.make_pool()
        for ranks in (0, 2):
            command = ("train", "--pool", pool, "--model", "mlp", "--epochs", 2, "--reproducible", "--checkpoint-every", 0.05, "--run")
            self.run_ok(*command, self.path(f"whole{ranks}"), ranks=ranks)
            self.run_ok(*command, self.path(f"odd{ranks}"), ranks=ranks, environment=self.odd(ODD_CLOCK="1"))
            with h5py.File(self.path(f"whole{ranks}/run.h5")) as whole, h5py.File(self.path(f"odd{ranks}/run.h5")) as odd:
                numpy.testing.assert_array_equal(odd["curves/steps/loss"][:], whole["curves/steps/loss"][:])
            self.assertEqual(self.run_ok("status", self.path(f"odd{ranks}"), "--json").json()["state"], "done")

    def test_file_system_without_locks(self):
        pool = self.make_pool(rows=3000)
        unlocked = self.odd(ODD_FLOCK=str(errno.ENOSYS))
        self.run_ok("select", "--pool", pool, "--acquisition", "random", "-k", 5, "-o", self.path("batch.h5"), environment=unlocked)
        command = ("train", "--pool", pool, "--model", "mlp", "--run", self.path("run"))
        self.run_ok(*command, "--epochs", 1, environment=unlocked)
        # The name in the file is all there is: of a process that lives, then of one that does not.
        lock = pathlib.Path(self.path("run/lock"))
        host = os.uname().nodename
        lock.write_text(f"{host} {os.getpid()}\n")
        self.assert_fails(1, [f"process {os.getpid()}", "remove this file"], *command, "--epochs", 1, "--resume", environment=unlocked)
        dead = subprocess.Popen(["true"])
        dead.wait()
        lock.write_text(f"{host} {dead.pid}\n")
        self.run_ok(*command, "--epochs", 1, "--resume", environment=unlocked)

    def test_locks_that_are_refused_are_told_with_what_to_set(self):
        scores = self.make_scores([1.0, 2.0, 3.0])
        command = ("select", "--scores", scores, "-k", 1, "-o", self.path("batch.h5"))
        refused = self.odd(ODD_FLOCK=str(errno.EOPNOTSUPP))
        self.assert_fails(1, ["batch.h5", "HDF5_USE_FILE_LOCKING=FALSE"], *command, environment=refused)
        self.run_ok(*command, environment=dict(refused, HDF5_USE_FILE_LOCKING="FALSE"))


class Ranks(FaultTest):
    def test_rank_that_stands_still_is_noticed_and_named(self):
        pool = self.make_pool(rows=3000)
        process = self.start("train", "--pool", pool, "--model", "mlp", "--epochs", 100000, "--collective-timeout", 3, "--run",
                             self.path("run"), ranks=2)
        self.addCleanup(self.kill_all, process)
        while not pathlib.Path(self.path("run/config.toml")).exists():
            self.assertIsNone(process.poll())
        ranks = sorted(pid for pid in children_of(process.pid))
        os.kill(ranks[1], signal.SIGSTOP)
        # 3 s in a collective, 30 s where the other one waits for its work.
        _, error = process.communicate(timeout=90)
        self.assertEqual(process.returncode, 1, error)
        self.assertRegex(error, r"a collective operation hangs\n +rank +0 on \S+\n +operation +\S+")

    def test_other_ranks_on_resume_are_accepted_and_told(self):
        pool = self.make_pool()
        command = ("train", "--pool", pool, "--model", "mlp", "--epochs", 4, "--batch-size", 50, "--run")
        for promise, warns in ((("--reproducible",), False), ((), True)):
            run = self.path("run" + "".join(promise))
            self.assertEqual(self.run_any(*command, run, *promise, "--max-walltime", 1e-3, ranks=2).code, 85)
            result = self.run_ok(*command, run, *promise, "--resume", ranks=3)
            self.assertEqual("ranks was 2, now 3" in result.err, warns, result.err)
        self.run_ok(*command, self.path("whole"), "--reproducible")
        with h5py.File(self.path("whole/run.h5")) as whole, h5py.File(self.path("run--reproducible/run.h5")) as resumed:
            numpy.testing.assert_array_equal(resumed["curves/steps/loss"][:], whole["curves/steps/loss"][:])

    def test_roles_of_a_run_that_is_resumed_may_not_change_what_is_scored(self):
        pool = self.make_pool()
        reference = self.train(pool, "reference")
        command = ("train", "--pool", pool, "--model", "mlp", "--method", "learnability", "--reference", reference, "--updates", 40,
                   "--batch-size", 50, "--run", self.path("run"))
        self.assertEqual(self.run_any(*command, "--max-walltime", 1e-3).code, 85)
        self.assert_fails(2, ["filter-ratio was"], *command, "--resume", "--filter-ratio", 4)


if __name__ == "__main__":
    unittest.main()
