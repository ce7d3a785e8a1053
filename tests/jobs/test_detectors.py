"""Detectors, from training to a policy: the same numbers on any number of ranks, and what does not fit refused."""

import pathlib
import unittest

import h5py
import numpy

from scenes import make_scenes
from support import JobTest, curves


class Detectors(JobTest):
    def scenes(self, name="scenes.h5", **options):
        return make_scenes(self.path(name), **options)

    def train_detector(self, pool, run, *options, ranks=0):
        self.run_ok("train", "--pool", pool, "--model", "ssd", "--optimizer", "adamw", "--learning-rate", 0.003,
                    "--batch-size", 8, "--run", self.path(run), *options, ranks=ranks)
        return self.path(run + "/model.pt")

    def evaluate(self, pool, model, *options, ranks=0):
        return self.run_ok("evaluate", "--pool", pool, "--model", model, *options, "--json", ranks=ranks).json()

    def test_both_detectors_learn_what_squares_and_frames_are(self):
        train, test = self.scenes(rows=64), self.scenes("test.h5", seed=1)
        for model in ("ssd", "retinanet"):
            run = self.path(model)
            self.run_ok("train", "--pool", train, "--validation-pool", test, "--model", model, "--optimizer", "adamw",
                        "--learning-rate", 0.003, "--batch-size", 8, "--epochs", 25, "--run", run)
            found = self.evaluate(test, run + "/model.pt")
            self.assertGreater(found["mean_average_precision"], 0.5, model)
            with h5py.File(run + "/run.h5") as file:
                curve = file["curves/evaluations/validation_average_precision"][:]
            self.assertEqual(curve.shape, (25,))
            self.assertAlmostEqual(curve[-1], found["mean_average_precision"], places=12)

    def test_training_and_evaluation_have_the_same_bits_on_any_number_of_ranks(self):
        train, test = self.scenes(), self.scenes("test.h5", rows=40, seed=1)
        models = [self.train_detector(train, f"run{ranks}", "--epochs", 2, "--reproducible", ranks=ranks) for ranks in (0, 2, 3)]
        files = [pathlib.Path(model).read_bytes() for model in models]
        for other in files[1:]:
            self.assertEqual(other, files[0])
        for metric in ("voc10", "voc07", "coco"):
            numbers = [self.evaluate(test, models[0], "--metric", metric, ranks=ranks) for ranks in (0, 2, 4)]
            for other in numbers[1:]:
                for name in ("mean_average_precision", "loss", "classes", "objects", "detections"):
                    self.assertEqual(other[name], numbers[0][name], (metric, name))
        self.evaluate(test, models[0], "-o", self.path("map.h5"))
        with h5py.File(self.path("map.h5")) as file:
            self.assertEqual(file.attrs["format"], "thresher-map")

    def test_a_loop_over_images_picks_the_same_on_any_number_of_ranks(self):
        pool, test = self.scenes(), self.scenes("test.h5", rows=24, seed=1)
        runs = []
        for ranks in (0, 2):
            run = self.path(f"loop{ranks}")
            self.run_ok("loop", "--pool", pool, "--test-pool", test, "--model", "ssd", "--optimizer", "adamw",
                        "--learning-rate", 0.003, "--batch-size", 8, "--epochs", 3, "--initial", 8, "-k", 4, "--cycles", 3,
                        "--acquisitions", "random,entropy,k-center,badge,class-balance", "--reproducible", "--run", run,
                        ranks=ranks)
            runs.append(curves(run + "/run.h5"))
            with h5py.File(run + "/run.h5") as file:
                for name in ("random", "entropy", "k-center", "badge", "class-balance"):
                    precision = file[f"curves/{name}/test_average_precision"][:]
                    self.assertEqual(precision.shape, (1, 3))
                    self.assertTrue(((precision >= 0) & (precision <= 1)).all())
        self.assertEqual(runs[0], runs[1])

    def test_class_balance_knows_the_boxes_that_it_chooses_from(self):
        pool, labelled = self.scenes(rows=40), self.path("labelled.txt")
        with h5py.File(pool) as file:
            offsets, classes = file["box_offsets"][:], file["box_classes"][:]
        counts = [numpy.bincount(classes[begin:end], minlength=2) for begin, end in zip(offsets, offsets[1:])]
        known, expected, left = counts[3] + counts[7], [], set(range(40)) - {3, 7}
        for _ in range(8):
            best = max(sorted(left), key=lambda row: round(float(numpy.log1p(counts[row] / (1 + known)).sum()), 12))
            expected.append(best)
            left.remove(best)
            known = known + counts[best]
        with open(labelled, "w") as file:
            file.write("3\n7\n")
        for ranks in (0, 3):
            self.run_ok("select", "--pool", pool, "--acquisition", "class-balance", "-k", 8, "--labelled", labelled,
                        "-o", self.path(f"batch{ranks}.h5"), ranks=ranks)
            self.assertEqual(self.batch(f"batch{ranks}.h5")[0].tolist(), expected)

    def test_a_policy_is_trained_on_retrained_detectors_and_picks_in_a_loop(self):
        pool, reward, test = self.scenes(rows=80), self.scenes("reward.h5", rows=24, seed=1), self.scenes("test.h5", rows=24, seed=2)
        detector = self.train_detector(pool, "detector", "--epochs", 4)
        images = ("--environment", "images", "--pool", pool, "--reward-pool", reward, "--test-pool", test, "--detector", detector,
                  "--labelled", 6, "--candidates", 20, "--proxy-steps", 10, "--proxy-batch", 8)
        tables = []
        for ranks in (0, 3):
            table = self.path(f"table{ranks}.h5")
            self.run_ok("table", "build", *images, "--records", 12, "--subset-size", 4, "-o", table, ranks=ranks)
            with h5py.File(table) as file:
                self.assertEqual(set(file["metrics"]), {"average-precision", "negative-loss"})
                tables.append({name: file[f"metrics/{name}"][:].tobytes() for name in file["metrics"]})
        self.assertEqual(tables[0], tables[1])
        self.run_ok("table", "check", table)
        # Detectors that diverge are worth nothing that could be learned from, not 0.
        self.run_ok("table", "build", *images, "--proxy-learning-rate", 1e30, "--records", 2, "--subset-size", 4, "-o", self.path("bad.h5"))
        with h5py.File(self.path("bad.h5")) as file:
            for name in file["metrics"]:
                self.assertTrue(numpy.isnan(file[f"metrics/{name}"][:]).all(), name)
        run = self.path("policy")
        self.run_ok("policy", "train", *images, "-k", 4, "--records", 12, "--updates", 4, "--metric", "negative-loss",
                    "--environments", 1, "--refresh-every", 2, "--run", run, ranks=2)
        self.run_ok("loop", "--pool", pool, "--test-pool", test, "--model", "ssd", "--batch-size", 8, "--epochs", 1,
                    "--initial", 8, "-k", 4, "--cycles", 2, "--acquisitions", "policy", "--policy", run + "/policy.h5",
                    "--run", self.path("loop"))
        with h5py.File(self.path("loop/run.h5")) as file:
            self.assertEqual(len(set(file["cycles/policy/0/0/batch_ids"][:])), 4)

    def test_a_policy_of_the_cycle_learns_from_the_images_that_are_labelled(self):
        pool, test = self.scenes(rows=60), self.scenes("test.h5", rows=16, seed=1)
        runs = []
        for ranks in (0, 2):
            run = self.path(f"agent{ranks}")
            self.run_ok("loop", "--pool", pool, "--test-pool", test, "--model", "ssd", "--batch-size", 8, "--epochs", 1,
                        "--initial", 16, "-k", 4, "--cycles", 3, "--acquisitions", "policy", "--agent", "per-cycle",
                        "--agent-updates", 3, "--reproducible", "--run", run, ranks=ranks)
            runs.append(curves(run + "/run.h5"))
        self.assertEqual(runs[0], runs[1])

    def test_without_consistency_semi_supervision_is_supervision(self):
        pool, reward, test = self.scenes(rows=60), self.scenes("reward.h5", rows=16, seed=1), self.scenes("test.h5", rows=16, seed=2)
        detector = self.train_detector(pool, "detector", "--epochs", 2)
        found = {}
        for proxy, weight in (("supervised", 1), ("mean-teacher", 0), ("pseudo-label", 0), ("mean-teacher", 1)):
            table = self.path(f"{proxy}{weight}.h5")
            consistency = () if proxy == "supervised" else ("--consistency", weight)
            self.run_ok("table", "build", "--environment", "images", "--pool", pool, "--reward-pool", reward, "--test-pool", test,
                        "--detector", detector, "--labelled", 6, "--candidates", 16, "--proxy-steps", 10, "--proxy-batch", 8,
                        "--threshold", 0.2, "--records", 3, "--subset-size", 4, "--proxy", proxy, *consistency, "-o", table)
            with h5py.File(table) as file:
                found[proxy, weight] = {name: file[f"metrics/{name}"][:].tobytes() for name in file["metrics"]}
        self.assertEqual(found["mean-teacher", 0], found["supervised", 1])
        self.assertEqual(found["pseudo-label", 0], found["supervised", 1])
        self.assertNotEqual(found["mean-teacher", 1], found["supervised", 1])

    def test_what_does_not_fit_is_refused(self):
        pool, plain = self.scenes(rows=16), self.scenes("plain.h5", rows=16, boxes=False)
        model = self.train_detector(pool, "run", "--epochs", 1)
        start = ("train", "--batch-size", 8, "--run", self.path("bad"))
        self.assert_fails(1, ["plain.h5", "no boxes"], *start, "--pool", plain, "--model", "ssd")
        self.assert_fails(1, ["scenes.h5", "--model ssd"], *start, "--pool", pool, "--model", "cnn")
        self.assert_fails(2, ["label smoothing"], *start, "--pool", pool, "--model", "ssd", "--label-smoothing", 0.1)
        self.assert_fails(2, ["trunk"], *start, "--pool", pool, "--model", "ssd", "--trunk", "vgg99")
        self.assert_fails(2, ["--iou", "ten overlaps"], "evaluate", "--pool", pool, "--model", model, "--metric", "coco", "--iou", 0.7)
        self.assert_fails(1, ["plain.h5", "no boxes"], "evaluate", "--pool", plain, "--model", model)
        self.assert_fails(2, ["boxes", "--rows"], *start, "--pool", pool, "--model", "ssd", "--labels", plain)
        loop = ("loop", "--pool", pool, "--test-pool", pool, "--model", "ssd", "--initial", 4, "-k", 2, "--cycles", 2,
                "--run", self.path("loop"))
        self.assert_fails(2, ["--oracle person"], *loop, "--acquisitions", "random", "--oracle", "person")
        self.assert_fails(2, ["strategy loss", "finds objects"], *loop, "--acquisitions", "hard-learner")
        images = ("table", "build", "--environment", "images", "--pool", pool, "--labelled", 2, "--candidates", 4,
                  "--subset-size", 2, "--records", 2, "-o", self.path("t.h5"))
        self.assert_fails(2, ["--detector"], *images)
        reward, test = self.scenes("reward.h5", rows=8, seed=1), self.scenes("test.h5", rows=8, seed=2)
        rest = ("--reward-pool", reward, "--test-pool", test)
        self.assert_fails(2, ["different images"], *images, "--reward-pool", pool, "--test-pool", test, "--detector", model)
        self.assert_fails(2, ["uniform"], *start, "--pool", pool, "--model", "ssd", "--method", "hard-learner", "--online", "learner")
        self.assert_fails(2, ["unknown metric", "average-precision, negative-loss"], *images, *rest, "--detector", model,
                          "--metric", "accuracy")
        self.assert_fails(2, ["--proxy-hidden"], *images, *rest, "--detector", model, "--proxy-hidden", 4)
        self.assert_fails(2, ["--proxy-full"], "table", "build", "--proxy-full", "-o", self.path("t.h5"))

    def test_single_boxes_from_file_or_model_make_the_same_scores_on_any_number_of_ranks(self):
        pool = self.scenes()
        self.run_ok("train", "--pool", pool, "--model", "retinanet", "--optimizer", "adamw", "--learning-rate", 0.003,
                    "--batch-size", 8, "--epochs", 20, "--run", self.path("run"))
        model = self.path("run/model.pt")
        most, fields = 30, ("box_log_probs", "box_scores", "box_flips")
        predict = ("predict", "--pool", pool, "--learner", model, "--strategy", "boxes", "--boxes-per-image", most)
        found = []
        for ranks in (0, 2, 3, 4):
            self.run_ok(*predict, "--box-flips", "-o", self.path(f"boxes{ranks}.h5"), ranks=ranks)
            with h5py.File(self.path(f"boxes{ranks}.h5")) as file:
                found.append({name: file[name][:] for name in fields})
        for other in found[1:]:
            for name in fields:
                self.assertEqual(other[name].tobytes(), found[0][name].tobytes(), name)
        log_probs, scores, flips = (found[0][name].astype("f8") for name in fields)
        self.assertEqual(log_probs.shape, (48, most, 3))
        there = ~numpy.isnan(scores)
        self.assertTrue((there[:, :-1] >= there[:, 1:]).all() and there.any() and not there.all())
        self.assertTrue((numpy.isnan(log_probs).all(2) == ~there).all() and (numpy.isnan(flips) == ~there).all())
        numpy.testing.assert_allclose(numpy.exp(log_probs).sum(2)[there], 1, atol=1e-5)
        # The score of a box is that of one of its classes by itself, against nothing.
        sigmoids = 1 / (1 + numpy.exp(log_probs[:, :, 2:] - log_probs[:, :, :2]))
        numpy.testing.assert_allclose(numpy.abs(sigmoids - scores[:, :, None]).min(2)[there], 0, atol=1e-5)

        # The acquisitions once more, and every way to them.
        ordered = numpy.sort(numpy.exp(log_probs), 2)
        of_boxes = {"box-entropy": -(numpy.exp(log_probs) * log_probs).sum(2), "box-margin": 1 - (ordered[:, :, 2] - ordered[:, :, 1]),
                    "box-least-confidence": 1 - ordered[:, :, 2], "box-flip": flips}
        weights = numpy.where(log_probs[:, :, 0] >= log_probs[:, :, 1], 1, 4)
        ways = {("--aggregate", "mean"): lambda a: numpy.nansum(a, 1) / numpy.maximum(there.sum(1), 1),
                ("--aggregate", "sum"): lambda a: numpy.nansum(a, 1),
                ("--aggregate", "top-n", "--aggregate-top", 2): lambda a: numpy.array(
                    [numpy.sort(row[~numpy.isnan(row)])[::-1][:2].mean() if (~numpy.isnan(row)).any() else 0 for row in a]),
                ("--class-weights", "1,4"): lambda a: numpy.where(there, a * weights, 0).max(1),
                (): lambda a: numpy.where(there, a, 0).max(1)}
        names = ",".join(of_boxes)
        for options, aggregate in ways.items():
            made = []
            for source, ranks in ((("--predictions", self.path("boxes0.h5")), 0), (("--predictions", self.path("boxes0.h5")), 3),
                                  (("--pool", pool, "--learner", model, "--boxes-per-image", most), 2)):
                self.run_ok("score", *source, "--acquisition", names, *options, "-o", self.path("s.h5"), "--overwrite", ranks=ranks)
                with h5py.File(self.path("s.h5")) as file:
                    made.append({name: file[f"scores/{name}"][:] for name in of_boxes})
            for name, values in of_boxes.items():
                numpy.testing.assert_allclose(made[0][name], aggregate(values), rtol=1e-5, atol=1e-6, err_msg=f"{name} {options}")
                for other in made[1:]:
                    self.assertEqual(other[name].tobytes(), made[0][name].tobytes(), (name, options))
        best = numpy.argsort(-made[0]["box-flip"], kind="stable")[:5]
        for source, ranks in ((("--predictions", self.path("boxes0.h5")), 3), (("--pool", pool, "--learner", model,
                                                                              "--boxes-per-image", most), 4)):
            self.run_ok("select", *source, "--acquisition", "box-flip", "-k", 5, "-o", self.path("b.h5"), "--overwrite", ranks=ranks)
            with h5py.File(self.path("b.h5")) as file:
                numpy.testing.assert_array_equal(file["ids"][:], best)
                self.assertEqual(file.attrs["aggregate"], "max")

    def test_two_class_heads_make_the_same_discrepancies_on_any_number_of_ranks(self):
        pool = self.scenes()
        self.run_ok("train", "--pool", pool, "--model", "ssd", "--class-heads", 2, "--optimizer", "adamw", "--learning-rate", 0.003,
                    "--batch-size", 8, "--epochs", 8, "--run", self.path("run"), ranks=2)
        model = self.path("run/model.pt")
        self.assertIn("two class heads", self.run_ok("info", model).out)
        fields = ("box_scores", "box_discrepancies")
        for ranks in (0, 3):
            self.run_ok("predict", "--pool", pool, "--learner", model, "--strategy", "boxes", "-o", self.path(f"boxes{ranks}.h5"),
                        ranks=ranks)
        with h5py.File(self.path("boxes0.h5")) as one, h5py.File(self.path("boxes3.h5")) as three:
            for name in fields:
                self.assertEqual(one[name][:].tobytes(), three[name][:].tobytes(), name)
            scores, told = (one[name][:] for name in fields)
        self.assertIn("seen by two class heads", self.run_ok("info", self.path("boxes0.h5")).out)
        there = ~numpy.isnan(scores)
        self.assertTrue((numpy.isnan(told) == ~there).all() and there.any())
        self.assertTrue((told[there] > 0).all() and (told[there] < 1).all())
        expected = numpy.where(there, told, 0).max(1)
        for source, ranks in ((("--predictions", self.path("boxes0.h5")), 2), (("--pool", pool, "--learner", model), 3)):
            self.run_ok("score", *source, "--acquisition", "box-discrepancy", "-o", self.path("s.h5"), "--overwrite", ranks=ranks)
            with h5py.File(self.path("s.h5")) as file:
                numpy.testing.assert_array_equal(file["scores/box-discrepancy"][:], expected)
        loop = ("loop", "--pool", pool, "--test-pool", pool, "--model", "ssd", "--batch-size", 8, "--epochs", 1, "--initial", 8, "-k", 4,
                "--cycles", 2, "--acquisitions", "random,box-discrepancy", "--run", self.path("loop"))
        self.assert_fails(2, ["box-discrepancy", "--class-heads 2"], *loop)
        self.run_ok(*loop, "--class-heads", 2)
        self.assert_fails(2, ["--class-heads and --loss-head are for new models", "--model"], "train", "--pool", pool, "--init", model,
                          "--class-heads", 2, "--epochs", 1, "--run", self.path("again"))
        self.assert_fails(2, ["--class-heads", "mlp finds no objects"], "train", "--pool", self.make_pool(rows=20), "--model", "mlp",
                          "--class-heads", 2, "--run", self.path("mlp"))

    def test_a_loss_head_leaves_its_detector_as_it_is_and_scores_images(self):
        pool, test = self.scenes(), self.scenes("test.h5", rows=60, seed=1)
        train = ("train", "--pool", pool, "--model", "ssd", "--optimizer", "adamw", "--learning-rate", 0.003, "--batch-size", 8,
                 "--epochs", 20, "--reproducible")
        self.run_ok(*train, "--loss-head", "--run", self.path("run"), ranks=2)
        self.run_ok(*train, "--run", self.path("plain"))
        model = self.path("run/model.pt")
        self.assertIn("predicts its loss", self.run_ok("info", model).out)
        # The detector is what it is without the head.
        with h5py.File(self.path("run/run.h5")) as one, h5py.File(self.path("plain/run.h5")) as other:
            numpy.testing.assert_array_equal(one["curves/evaluations/train_loss"][:], other["curves/evaluations/train_loss"][:])
        found = []
        for ranks in (0, 3):
            self.run_ok("predict", "--pool", test, "--learner", model, "--strategy", "predicted-loss", "-o",
                        self.path(f"p{ranks}.h5"), ranks=ranks)
            with h5py.File(self.path(f"p{ranks}.h5")) as file:
                found.append(file["losses/predicted"][:])
        numpy.testing.assert_array_equal(*found)
        for source, ranks in ((("--predictions", self.path("p0.h5")), 2), (("--pool", test, "--learner", model), 3)):
            self.run_ok("score", *source, "--acquisition", "predicted-loss", "-o", self.path("s.h5"), "--overwrite", ranks=ranks)
            with h5py.File(self.path("s.h5")) as file:
                numpy.testing.assert_array_equal(file["scores/predicted-loss"][:], found[0])
        loop = ("loop", "--pool", pool, "--test-pool", test, "--model", "ssd", "--batch-size", 8, "--epochs", 1, "--initial", 8, "-k", 4,
                "--cycles", 2, "--acquisitions", "random,predicted-loss", "--run", self.path("loop"))
        self.assert_fails(2, ["predicted-loss", "--loss-head"], *loop)
        self.run_ok(*loop, "--loss-head")

    def test_a_loop_picks_by_single_boxes(self):
        pool, test = self.scenes(), self.scenes("test.h5", rows=24, seed=1)
        names = ("random", "box-entropy", "box-flip")
        runs = []
        for ranks in (0, 3):
            run = self.path(f"loop{ranks}")
            self.run_ok("loop", "--pool", pool, "--test-pool", test, "--model", "ssd", "--optimizer", "adamw",
                        "--learning-rate", 0.003, "--batch-size", 8, "--epochs", 2, "--initial", 8, "-k", 4, "--cycles", 2,
                        "--acquisitions", ",".join(names), "--aggregate", "top-n", "--aggregate-top", 2, "--class-weights", "1,2",
                        "--boxes-per-image", 8, "--reproducible", "--run", run, ranks=ranks)
            with h5py.File(run + "/run.h5") as file:
                runs.append([file[f"cycles/{name}/0/0/batch_ids"][:].tolist() for name in names] + [curves(run + "/run.h5")])
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0][0], runs[0][1])
        self.assertNotEqual(runs[0][1], runs[0][2])

    def test_boxes_that_are_not_there_are_refused(self):
        pool = self.scenes(rows=16)
        model = self.train_detector(pool, "run", "--epochs", 1)
        out = ("-o", self.path("o.h5"))
        on_pool = ("--pool", pool, "--learner", model)
        self.run_ok("predict", *on_pool, "--strategy", "boxes", "-o", self.path("boxes.h5"))
        on_file = ("--predictions", self.path("boxes.h5"))
        self.assertIn("up to 20 a row x 2 classes and background", self.run_ok("info", self.path("boxes.h5")).out)
        self.assert_fails(2, ["box-flip", "needs box-flips", "--box-flips", "box-entropy, box-margin"], "score", *on_file,
                          "--acquisition", "box-flip", *out, ranks=2)
        self.assert_fails(2, ["entropy", "needs log_probs", "hold boxes"], "score", *on_file, "--acquisition", "entropy", *out)
        self.assert_fails(2, ["--class-weights has 3", "2 classes"], "score", *on_file, "--acquisition", "box-entropy",
                          "--class-weights", "1,1,1", *out, ranks=2)
        self.assert_fails(2, ["--class-weights has -1"], "score", *on_file, "--acquisition", "box-entropy", "--class-weights", "1,-1",
                          *out)
        self.assert_fails(2, ["no acquisition here reads boxes", "box-flip"], "select", *on_pool, "--acquisition", "entropy", "-k", 2,
                          "--aggregate", "mean", *out)
        self.assert_fails(2, ["--aggregate-top", "top-n"], "score", *on_file, "--acquisition", "box-entropy", "--aggregate-top", 2,
                          *out)
        self.assert_fails(2, ["at most 200"], "predict", *on_pool, "--strategy", "boxes", "--boxes-per-image", 201, *out)
        self.assert_fails(2, ["deterministic; add boxes"], "predict", *on_pool, "--strategy", "deterministic", "--box-flips", *out)
        self.assert_fails(2, ["--boxes-per-image", "box-entropy"], "loop", "--pool", pool, "--test-pool", pool, "--model", "ssd",
                          "--initial", 4, "-k", 2, "--cycles", 2, "--acquisitions", "entropy", "--boxes-per-image", 3, "--run",
                          self.path("loop"))
        plain = self.make_pool(rows=40)
        learner = self.train(plain, "learner", "--epochs", 1)
        for verb in (("predict", "--strategy", "boxes"), ("score", "--acquisition", "box-entropy")):
            self.assert_fails(2, ["strategy boxes", "mlp", "an ssd, a retinanet or a TorchScript file"], *verb, "--pool", plain, "--learner", learner, *out,
                              ranks=2)


if __name__ == "__main__":
    unittest.main()
