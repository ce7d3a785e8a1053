"""A selection has the same bits for any number of ranks, and is the one its definition asks for."""

import unittest

import h5py
import numpy

from support import JobTest


class SelectOverRanks(JobTest):
    def select(self, ranks, *arguments):
        name = f"batch-{ranks}.h5"
        self.run_ok("select", *arguments, "-o", self.path(name), "--overwrite", ranks=ranks)
        return self.batch(name)

    def check_same(self, *arguments):
        first = self.select(0, *arguments)
        for ranks in (1, 2, 3, 4):
            ids, scores = self.select(ranks, *arguments)
            self.assertEqual(ids.tobytes(), first[0].tobytes(), f"{ranks} ranks")
            self.assertEqual(scores.tobytes(), first[1].tobytes(), f"{ranks} ranks")
        return first

    def test_top_k_of_a_scores_file(self):
        random = numpy.random.default_rng(1)
        scores = random.normal(size=600011).astype("f4")  # three blocks, divisible by nothing
        path = self.make_scores(scores)
        ids, picked = self.check_same("--scores", path, "-k", 12345)
        expected = numpy.lexsort((numpy.arange(scores.size), -scores))[:12345]
        numpy.testing.assert_array_equal(ids, expected)
        numpy.testing.assert_array_equal(picked, scores[expected])

    def test_quarantined_rows_are_left_out_whatever_their_scores(self):
        scores = numpy.zeros(600011)
        scores[500000] = 9
        path = self.make_scores(scores)
        with h5py.File(path, "a") as file:
            file["quarantine/ids"] = numpy.array([500000])
            file["quarantine/reasons"] = numpy.array([b"odd"])
        ids, _ = self.check_same("--scores", path, "-k", 10)
        numpy.testing.assert_array_equal(ids, numpy.arange(10))

    def test_scores_behind_an_external_link(self):
        scores = numpy.random.default_rng(5).normal(size=5000).astype("f4")
        self.make_scores(scores, "elsewhere.h5")
        with h5py.File(self.path("link.h5"), "w") as file:
            file["other"] = numpy.linspace(0, 1, 100000, dtype="f4")
            file["scores/given"] = h5py.ExternalLink("elsewhere.h5", "/scores/given")
        ids, _ = self.check_same("--scores", self.path("link.h5"), "-k", 5)
        numpy.testing.assert_array_equal(ids, numpy.argsort(-scores)[:5])

    def test_scores_without_ids_have_those_of_the_pool(self):
        pool = self.make_pool(rows=50, ids=numpy.arange(50)[::-1], names=[f"row{i}".encode() for i in range(50)])
        path = self.make_scores(numpy.arange(50))
        with h5py.File(path, "a") as file:
            file["quarantine/ids"] = numpy.array([49])  # a row's number, as the file has no ids
            file["quarantine/reasons"] = numpy.array([b"odd"])
        ids, _ = self.check_same("--scores", path, "--pool", pool, "-k", 3, "--max-bad", 1)
        numpy.testing.assert_array_equal(ids, [1, 2, 3])
        with h5py.File(self.path("batch-4.h5")) as file:
            self.assertEqual(file["names"][:].tolist(), [b"row48", b"row47", b"row46"])

    def test_softmax_of_a_scores_file(self):
        scores = numpy.random.default_rng(2).normal(size=600011)
        path = self.make_scores(scores)
        ids, _ = self.check_same("--scores", path, "-k", 5000, "--selector", "softmax", "--temperature", 0.5)
        self.assertEqual(len(set(ids.tolist())), 5000)

    def test_all_scores_equal(self):
        path = self.make_scores(numpy.zeros(1001))
        ids, _ = self.check_same("--scores", path, "-k", 10)
        numpy.testing.assert_array_equal(ids, numpy.arange(10))

    def test_k_is_the_whole_pool(self):
        scores = numpy.random.default_rng(3).normal(size=997).astype("f4")
        path = self.make_scores(scores)
        ids, _ = self.check_same("--scores", path, "-k", 997)
        numpy.testing.assert_array_equal(ids, numpy.lexsort((numpy.arange(997), -scores)))
        self.check_same("--scores", path, "-k", 997, "--selector", "softmax")

    def test_fused_from_pool_and_models(self):
        pool = self.make_pool(rows=5003, shape=(1, 28, 28))
        learner = self.train(pool, "learner", "--epochs", 1)
        reference = self.train(pool, "reference", "--epochs", 1, "--seed", 5, model="cnn")
        models = ("--learner", learner, "--reference", reference)
        for selector in ("top-k", "softmax"):
            self.check_same("--pool", pool, *models, "--acquisition", "learnability", "-k", 500, "--selector", selector)
        fused, _ = self.batch("batch-2.h5")
        # Step by step, through files, the same rows come out.
        self.run_ok("predict", "--pool", pool, *models, "--strategy", "loss", "-o", self.path("p.h5"), ranks=2)
        self.run_ok("score", "--predictions", self.path("p.h5"), "--acquisition", "learnability", "-o", self.path("s.h5"),
                    ranks=3)
        ids, _ = self.select(2, "--scores", self.path("s.h5"), "-k", 500, "--selector", "softmax")
        numpy.testing.assert_array_equal(ids, fused)

    def test_collectives_do_not_depend_on_the_pool(self):
        counts = set()
        for rows in (10**5, 3 * 10**6):
            path = self.make_scores(numpy.random.default_rng(4).normal(size=rows), f"scores-{rows}.h5")
            result = self.run_ok("select", "--scores", path, "-k", 100, "-o", self.path(f"b{rows}.h5"), "--json", ranks=2)
            counts.add(result.json()["selection_collectives"])
        self.assertEqual(len(counts), 1)


if __name__ == "__main__":
    unittest.main()
