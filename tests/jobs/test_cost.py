"""Whether prioritised training pays, as a user asks."""

import unittest

from support import JobTest


class Cost(JobTest):
    # ViT-L/16 trained with ViT-Ti/16 scorers, in GFLOP (arXiv 2312.05328).
    PLAN = ("cost", "--learner", 61.6, "--online", 1.2584, "--reference", 1.2584, "--speedup", 0.26)

    def test_the_ratios_are_those_of_the_formula(self):
        facts = self.run_ok(*self.PLAN, "--json").json()
        scored = 61.6 * 3 + 2 * (1.2584 + 1.2584)
        self.assertAlmostEqual(facts["online_not_charged"], (0.74 * scored + 3 * 1.2584) / (3 * 61.6), places=12)
        self.assertAlmostEqual(facts["everything_charged"],
                               (0.74 * (scored + 3 * 1.2584) + 3 * 1.2584) / (3 * 61.6), places=12)
        self.assertAlmostEqual(facts["reference_amortised"], 0.74 * (scored + 3 * 1.2584) / (3 * 61.6), places=12)
        affordable = facts["affordable_scoring_flops"]
        even = self.run_ok("cost", "--learner", 61.6, "--reference", affordable, "--method", "easy-reference",
                           "--reference-share", 0, "--speedup", 0.26, "--json").json()
        # The online model's training was charged before, and is not any more.
        self.assertLess(even["everything_charged"], 1)

    def test_a_method_has_the_ratio_that_it_trains_with(self):
        rho = ("cost", "--learner", 10, "--online", "learner", "--reference", 1, "--method", "rho-loss", "--speedup", 0.6, "--json")
        facts = self.run_ok(*rho).json()
        # Of ten candidates one is trained on.
        self.assertAlmostEqual(facts["reference_amortised"], 0.4 * (10 * 3 + 10 * (10 + 1)) / (3 * 10), places=12)
        self.assertEqual(facts["everything_charged"], self.run_ok(*rho, "--filter-ratio", 10).json()["everything_charged"])

    def test_the_table_is_for_people(self):
        text = self.run_ok(*self.PLAN).out
        for words in ("everything charged", "pays", "scoring a candidate may cost up to"):
            self.assertIn(words, text)
        self.assertIn("does not pay", self.run_ok("cost", "--learner", 1, "--online", "learner", "--reference", 1,
                                                  "--speedup", 0.1).out)

    def test_built_in_models_and_files_are_counted_alike(self):
        pool = self.make_pool(rows=60, shape=(1, 16, 16))
        model = self.train(pool, "small", "--epochs", 1, "--hidden", 32)
        common = ("--method", "hard-learner", "--speedup", 0.3, "--pool", pool, "--json")
        facts = self.run_ok("cost", "--learner", "resnet18", "--online", model, *common).json()
        # 256 -> 32 -> classes, two operations a weight.
        self.assertAlmostEqual(facts["scoring_flops"], 2 * (256 * 32 + 32 * 4), delta=0.01 * 2 * 256 * 32)

    def test_a_detector_needs_no_pool_to_be_counted(self):
        facts = self.run_ok("cost", "--learner", "ssd", "--online", 1, "--reference", 1, "--input-shape", "3,64,64", "--classes", 3,
                            "--speedup", 0.3, "--json").json()
        self.assertEqual(facts["scoring_flops"], 2)

    def test_what_does_not_go_together_is_refused(self):
        self.assert_fails(2, ["needs --reference"], "cost", "--learner", 3, "--online", 1, "--speedup", 0.1)
        self.assert_fails(2, ["does not use --online"], "cost", "--learner", 3, "--online", 1, "--reference", 1, "--method",
                          "easy-reference", "--speedup", 0.1)
        self.assert_fails(2, ["--input-shape"], "cost", "--learner", "resnet18", "--online", 1, "--reference", 1, "--speedup",
                          0.1)
        self.assert_fails(2, ["1.5", "below 1"], "cost", "--learner", 3, "--online", 1, "--reference", 1, "--speedup", 1.5)


if __name__ == "__main__":
    unittest.main()
