"""Lookup tables and environments as a user makes them."""

import os
import pathlib
import signal
import time
import unittest

import h5py
import numpy

from support import JobTest, children_of


def contents(path):
    """Everything that must not depend on ranks, kills or shards."""
    with h5py.File(path) as file:
        return {name: file[name][...].tobytes()
                for name in ("subsets", "metrics/accuracy", "metrics/negative-loss", "numbers", "seeds", "ids")}


class Table(JobTest):
    RING = ("--environment", "ring", "--candidates", 60, "--reward-points", 200, "--subset-size", 6)

    def build(self, name, *options, ranks=0, size=6):
        self.run_ok("table", "build", *self.RING[:-1], size, "--records", 150, "-o", self.path(name), *options, ranks=ranks)
        return self.path(name)

    def test_the_same_bits_for_any_number_of_ranks(self):
        kinds = ("--stratified", 0.4, "--near", 0.3)
        first = contents(self.build("t0.h5", *kinds))
        for ranks in (1, 2, 3, 4):
            self.assertEqual(contents(self.build(f"t{ranks}.h5", *kinds, ranks=ranks)), first, f"{ranks} ranks")
        self.assertFalse(list(self.directory.glob("*.records*")))

    def test_stratified_records_are_more_lopsided(self):
        def spread(name, *options):
            """Standard deviation of the labels of a class in a record, averaged over the four classes."""
            with h5py.File(self.build(name, *options)) as file:
                labels, words = file["candidates/label_counts"][...], file["subsets"][...]
            members = numpy.unpackbits(words.view(numpy.uint8), axis=1, bitorder="little")[:, :len(labels)]
            self.assertEqual(set(members.sum(axis=1)), {6})
            return (members @ labels).std(axis=0).mean()
        # Of six labels with shares s a class has six s on average, of a variance of 6 s (1 - s); shares from Beta(1, 3) add 36 x 3/80.
        self.assertGreater(spread("stratified.h5", "--stratified", 1), 1.3 * spread("uniform.h5"))
        self.assert_fails(2, ["share of stratified records is 0.8, and 0.3 are near", "their sum 1"], "table", "build", *self.RING,
                          "--stratified", 0.8, "--near", 0.3, "-o", self.path("t.h5"))

    def test_two_jobs_do_not_build_one_table(self):
        build = ("table", "build", *self.RING, "--records", 100000, "--proxy-steps", 500, "-o", self.path("t.h5"))
        first = self.start(*build)
        lock = pathlib.Path(self.path("t.h5.records.lock"))
        while first.poll() is None and not (lock.exists() and lock.read_text().endswith("\n")):
            pass
        self.assert_fails(1, [f"in use by process {first.pid} on host", "another --output"], *build, ranks=2)
        first.send_signal(signal.SIGTERM)
        _, error = first.communicate()
        self.assertEqual(first.returncode, 85, error)
        self.assertIn("the records so far are kept", error)

    def test_a_stop_signal_is_heard_between_records(self):
        build = ("table", "build", *self.RING, "--records", 100000, "--proxy-steps", 1000, "-o", self.path("t.h5"))
        process = self.start(*build, ranks=2)
        records = pathlib.Path(self.path("t.h5.records"))
        while process.poll() is None and not (records.exists() and records.stat().st_size > 1000):
            time.sleep(0.02)
        for rank in children_of(process.pid):
            os.kill(rank, signal.SIGTERM)
        _, error = process.communicate()
        self.assertEqual(process.returncode, 85, error)
        self.assertIn("the records so far are kept", error)
        self.assertFalse(os.path.exists(self.path("t.h5")))
        # Each has a number, the seconds, two metrics and a seal, of eight bytes each.
        self.assertLess(records.stat().st_size, 40 * 100000)

    def test_the_file_says_what_it_holds(self):
        with h5py.File(self.build("t.h5", "--trainings", 2, size="4-8")) as file:
            subsets = file["subsets"][...]
            self.assertEqual(subsets.dtype, numpy.uint64)
            bits = numpy.unpackbits(subsets.view(numpy.uint8), axis=1, bitorder="little")
            self.assertEqual(bits[:, 60:].sum(), 0)
            self.assertEqual(set(bits.sum(1).tolist()), {4, 5, 6, 7, 8})
            self.assertEqual(file["metrics/accuracy"].shape, (150, 2))
            self.assertEqual(file.attrs["format"], "thresher-table")
            for dataset in ("subsets", "metrics/accuracy", "seconds"):
                self.assertTrue(file[dataset].attrs["description"])

    def test_shards_are_merged_into_the_whole_however_often(self):
        whole = contents(self.build("whole.h5"))
        shards = [self.build(f"s{i}.h5", "--shard", f"{i}/3") for i in range(3)]
        self.run_ok("table", "merge", shards[2], shards[0], shards[1], shards[0], "-o", self.path("merged.h5"))
        self.assertEqual(contents(self.path("merged.h5")), whole)
        self.run_ok("table", "merge", self.path("merged.h5"), shards[1], "-o", self.path("again.h5"))
        self.assertEqual(contents(self.path("again.h5")), whole)
        other = self.build("other.h5", "--seed", 4)
        self.assert_fails(1, ["other.h5", "different candidates"], "table", "merge", shards[0], other, "-o", self.path("mixed.h5"))
        for action in ("check", "info"):
            self.assert_fails(1, ["other.h5: the tables are of different candidates"], "table", action, shards[0], shards[1], other)
        proxy = self.build("proxy.h5", "--proxy-steps", 30)
        self.assert_fails(1, ["different proxies"], "table", "merge", shards[0], proxy, "-o", self.path("mixed.h5"))

    def test_check_and_info_tell_of_every_estimator(self):
        table = self.build("t.h5")
        result = self.run_ok("table", "check", table, "--json").json()
        self.assertEqual({check["estimator"] for check in result["checks"]}, {"kernel", "ridge", "knn"})
        for check in result["checks"]:
            self.assertEqual(check["held_out"], 30)
            self.assertGreater(check["mean_error_of_mean"], 0)
        text = self.run_ok("table", "check", table, "--estimators", "knn").out
        self.assertIn("spread shrunk to", text)
        self.assertNotIn("ridge", text)
        self.assertIn("6 candidates: 150 records", self.run_ok("table", "info", table).out)
        self.assertIn("thresher-table", self.run_ok("info", table).out)

    def test_from_a_pool(self):
        pool = self.make_pool(rows=2000)
        table = self.path("t.h5")
        self.run_ok("table", "build", "--environment", "pool", "--pool", pool, "--components", 8, "--candidates", 40, "--repeat",
                    2, "--reward-points", 300, "--test-points", 300, "--records", 40, "-o", table, ranks=2)
        with h5py.File(table) as file:
            self.assertEqual(file["candidates/features"].shape, (40, 8))
            ids, counts = numpy.unique(file["ids"][...], return_counts=True)
            self.assertEqual(ids.size, 20)
            self.assertEqual(set(counts.tolist()), {2})
            self.assertTrue(0 <= ids.min() and ids.max() < 2000)

    def test_the_candidates_are_the_rows_that_a_list_names(self):
        pool = self.make_pool(rows=1200)
        scores = self.make_scores(numpy.random.default_rng(1).normal(size=1200).astype("f4"))
        self.run_ok("select", "--scores", scores, "-k", 30, "-o", self.path("top.h5"))
        wanted = list(self.batch("top.h5")[0])
        build = ("table", "build", "--environment", "pool", "--pool", pool, "--rows", self.path("top.h5"), "--reward-points", 200,
                 "--test-points", 200, "--records", 40, "--subset-size", 4)
        for seed in (1, 2):
            self.run_ok(*build, "--candidates", 30, "--seed", seed, "-o", self.path(f"t{seed}.h5"), ranks=2)
            with h5py.File(self.path(f"t{seed}.h5")) as file:
                self.assertEqual(list(file["ids"][...]), wanted)
        self.run_ok(*build, "--candidates", 60, "--repeat", 2, "-o", self.path("twice.h5"))
        with h5py.File(self.path("twice.h5")) as file:
            self.assertEqual(sorted(file["ids"][...]), sorted(wanted + wanted))
        out = ("-o", self.path("other.h5"))
        self.assert_fails(2, ["30 candidates", "it must be 30"], *build, "--candidates", 40, *out)
        self.assert_fails(2, ["reads none"], "table", "build", *self.RING, "--rows", self.path("top.h5"), *out)
        with h5py.File(pool, "a") as file:
            file["targets"][wanted[0]] = -1
        self.assert_fails(1, ["has no target to learn from"], *build, "--candidates", 30, *out)

    def test_warm_tables_are_not_mixed_with_others(self):
        scratch, warm = self.build("scratch.h5"), self.build("warm.h5", "--retrain", "warm")
        self.assertEqual(contents(self.build("again.h5", "--retrain", "warm", ranks=2)), contents(warm))
        self.assertNotEqual(contents(warm), contents(scratch))
        self.assert_fails(1, ["different proxies"], "table", "merge", scratch, warm, "-o", self.path("mixed.h5"))
        self.assertIn("warm with 20 steps", self.run_ok("table", "info", warm).out)

    def test_what_cannot_be_built_is_refused(self):
        out = ("-o", self.path("t.h5"))
        self.assert_fails(2, ["1 to 60"], "table", "build", *self.RING[:-1], 61, *out)
        self.assert_fails(2, ["--subset-size", "5-20"], "table", "build", *self.RING[:-1], "many", *out)
        self.assert_fails(2, ["counted from 0"], "table", "build", *self.RING, "--shard", "3/3", *out)
        self.assert_fails(2, ["--pool"], "table", "build", "--environment", "pool", *out)
        self.assert_fails(2, ["moon", "ringdup"], "table", "build", "--environment", "moon", *out, ranks=2)
        self.assert_fails(2, ["mean-teacher"], "table", "build", *self.RING, "--proxy", "self", *out)
        self.assert_fails(1, ["500 distinct"], "table", "build", "--environment", "pool", "--pool", self.make_pool(),
                          "--candidates", 500, *out)
        table = self.build("one.h5")
        with h5py.File(table, "a") as file:
            file["metrics/accuracy"][1:] = numpy.nan
        self.assert_fails(1, ["1 record with"], "table", "check", table)
        with h5py.File(table, "a") as file:
            file["metrics/accuracy"][...] = 0.5
        self.assert_fails(1, ["no signal"], "table", "check", table)


class Env(JobTest):
    RING = ("--environment", "ring", "--candidates", 40, "--reward-points", 200, "--test-points", 200)

    def test_games_have_the_same_bits_for_any_number_of_ranks(self):
        curves = []
        for ranks in (0, 1, 3):
            path = self.path(f"e{ranks}.h5")
            self.run_ok("env", "run", *self.RING, "--seeds", 2, "--batches", "1,4", "--budget", 8, "--choosers",
                        "random,entropy,k-center,oracle", "-o", path, ranks=ranks)
            with h5py.File(path) as file:
                found = {}
                file["curves"].visititems(
                    lambda name, item: found.update({name: item[()]})
                    if isinstance(item, h5py.Dataset) and not name.endswith("seconds") else None)
            curves.append(found)
        for other in curves[1:]:
            self.assertEqual({k: v.tobytes() for k, v in other.items()}, {k: v.tobytes() for k, v in curves[0].items()})
        found = curves[0]
        self.assertEqual(found["entropy/b1/test_accuracy"].shape, (2, 9))
        numpy.testing.assert_array_equal(found["entropy/b4/labelled"][0], [20, 24, 28])
        self.assertEqual(found["candidates/features"].shape, (2, 40, 2))
        for chooser in ("random", "entropy", "k-center", "oracle"):
            self.assertTrue(all(len(set(picks)) == 8 for picks in found[f"picks/{chooser}/b4"].tolist()))
        # Nobody has chosen anything yet, so all begin alike.
        numpy.testing.assert_array_equal(found["entropy/b1/test_loss"][:, 0], found["random/b4/test_loss"][:, 0])
        # The greedy oracle picks one after the other, whatever the batch.
        numpy.testing.assert_array_equal(found["oracle/b1/test_loss"][:, 8], found["oracle/b4/test_loss"][:, 2])

    def test_a_policy_plays_with_the_others(self):
        self.run_ok("policy", "train", *self.RING[:-2], "--environments", 2, "-k", 4, "--updates", 3, "--rewards", "retrained", "--run",
                    self.path("run"))
        policy = ("--policy", self.path("run/policy.h5"))
        play = ("env", "run", *self.RING, "--seeds", 1, "--batches", "2,4", "--budget", 8)
        for ranks in (0, 2):
            self.run_ok(*play, "--choosers", "random,policy", *policy, "-o", self.path(f"e{ranks}.h5"), ranks=ranks)
        with h5py.File(self.path("e0.h5")) as alone, h5py.File(self.path("e2.h5")) as shared:
            curves = [file["curves/policy/b2/test_loss"][:] for file in (alone, shared)]
            self.assertEqual(curves[0].shape, (1, 5))
            numpy.testing.assert_array_equal(*curves)
            self.assertEqual(alone["curves/policy/b2/test_loss"][0, 0], alone["curves/random/b4/test_loss"][0, 0])
        self.assert_fails(2, ["--policy", "go together"], *play, "--choosers", "policy", "-o", self.path("x.h5"))
        self.assert_fails(2, ["--policy", "go together"], *play, "--choosers", "random", *policy, "-o", self.path("x.h5"))

    def test_influence_is_that_of_single_candidates(self):
        paths = []
        for ranks in (0, 3):
            paths.append(self.path(f"i{ranks}.h5"))
            self.run_ok("env", "influence", *self.RING, "-o", paths[-1], ranks=ranks)
        with h5py.File(paths[0]) as alone, h5py.File(paths[1]) as shared:
            for name in ("train_loss", "reward_accuracy", "test_loss", "test_accuracy"):
                values = alone[f"curves/influence/{name}"][...]
                self.assertEqual(values.shape, (40,))
                self.assertEqual(values.tobytes(), shared[f"curves/influence/{name}"][...].tobytes())
            best = alone["curves/influence/reward_accuracy"][...].max()
        result = self.run_ok("env", "oracle", *self.RING, "-b", 1, "--json").json()["reward points"]
        self.assertAlmostEqual(result["oracle"] - result["labelled"], best, places=12)

    def test_the_oracle_is_above_random(self):
        result = self.run_ok("env", "oracle", *self.RING, "-b", 5, "--json").json()
        found = result["reward points"]
        self.assertGreater(found["oracle"], found["random"] + 2 * found["deviation"])
        self.assertEqual(len(set(result["batch"])), 5)

    def test_what_cannot_be_played_is_refused(self):
        out = ("-o", self.path("e.h5"))
        self.assert_fails(2, ["bald", "oracle"], "env", "run", *self.RING, "--choosers", "bald", *out)
        self.assert_fails(2, ["--budget is 50", "40"], "env", "run", *self.RING, "--budget", 50, *out)
        self.assert_fails(2, ["--budget is 10", "batches of 4"], "env", "run", *self.RING, "--budget", 10, "--batches", "5,4", *out)
        self.assert_fails(2, ["--batches names 5 twice"], "env", "run", *self.RING, "--batches", "5,10,5", *out, ranks=2)
        self.assert_fails(2, ["--choosers names random twice"], "env", "run", *self.RING, "--choosers", "random,oracle,random", *out)
        self.assert_fails(2, ["the proxy's threshold is 1.5"], "env", "oracle", *self.RING, "--proxy", "pseudo-label", "--threshold", 1.5)
        self.assert_fails(2, ["1 to 40"], "env", "oracle", *self.RING, "-b", 41)
        self.assert_fails(2, ["standardised"], "env", "oracle", *self.RING, "--reward", "sum")

    def test_nothing_that_exists_is_written_over(self):
        pool = self.make_pool(rows=2000)
        with open(pool, "rb") as file:
            before = file.read()
        options = ("--environment", "pool", "--pool", pool, "--candidates", 20, "--reward-points", 50, "--test-points", 50, "-b", 2)
        self.assert_fails(2, ["is what the job reads"], "env", "oracle", *options, "-o", pool, "--overwrite")
        self.assert_fails(1, ["exists already"], "env", "oracle", *self.RING, "-o", pool, ranks=2)
        with open(pool, "rb") as file:
            self.assertEqual(file.read(), before)
        curves = self.path("o.h5")
        self.run_ok("env", "oracle", *options, "-o", curves)
        self.assert_fails(1, ["exists already"], "env", "oracle", *options, "-o", curves)
        self.run_ok("env", "oracle", *options, "-o", curves, "--overwrite")


if __name__ == "__main__":
    unittest.main()
