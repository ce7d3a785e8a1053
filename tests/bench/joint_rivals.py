"""Others who choose the batches of the part "joint", called as their users call them.

Each function takes the inputs, makes what its package wants to have in memory, and returns the call
that is timed. The call returns the picks, and their gains where the package tells them. The
k-centers begin with row 0, as Thresher does: rivals are told that it is labelled already.
"""

import functools
import os

os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np

CONFIGURATIONS = 1000  # that the rivals of batchbald keep or sample


def skactiveml_batchbald(inputs):
    from skactiveml.pool import batch_bald

    members = np.ascontiguousarray(inputs.probabilities.transpose(1, 0, 2))

    def choose():
        # It clips what it is given, so that it is given a copy.
        utilities = batch_bald(members.copy(), inputs.k, n_MC_samples=CONFIGURATIONS, random_state=0)
        return np.nanargmax(utilities, axis=1), None

    return choose


def redux_batchbald(inputs):
    import torch
    from batchbald_redux.batchbald import get_batchbald_batch

    torch.set_num_threads(1)
    log_probs = torch.from_numpy(inputs.log_probs)
    return lambda: (get_batchbald_batch(log_probs, inputs.k, CONFIGURATIONS).indices, None)


def numpy_batchbald(inputs):
    """Every configuration of every row, as the definition says."""

    def choose():
        p = inputs.probabilities
        rows, samples, classes = p.shape
        conditional = -(p * np.log(p)).sum((1, 2)) / samples
        columns = p.transpose(1, 0, 2).reshape(samples, rows * classes)
        joint = np.full((1, samples), 1 / samples)  # p(configuration | sample) / S
        picks, values = [], [0.0]
        entropies = np.empty(rows)
        for _ in range(inputs.k):
            for begin in range(0, rows, 20):
                some = slice(begin, begin + 20)
                q = joint @ columns[:, begin * classes:(begin + 20) * classes]
                entropies[some] = -(q * np.log(q)).sum(0).reshape(-1, classes).sum(1)
            information = entropies - conditional - conditional[picks].sum()
            information[picks] = -np.inf
            picks.append(int(information.argmax()))
            values.append(information[picks[-1]])
            joint = (joint[:, None, :] * p[picks[-1]].T).reshape(-1, samples)
        return picks, np.diff(values)

    return choose


def skactiveml_k_center(inputs):
    from skactiveml.pool import CoreSet

    labels = np.full(len(inputs.embeddings), np.nan)
    labels[0] = 0

    def choose():
        picks = CoreSet(random_state=0).query(inputs.embeddings, labels, batch_size=inputs.k - 1)
        return [0, *picks], None

    return choose


def small_text_k_center(inputs):
    from small_text.query_strategies.coresets import greedy_coreset

    # Unlabelled rows first, as its query strategy orders them.
    rows = np.roll(inputs.embeddings, -1, axis=0)
    unlabelled, labelled = np.arange(len(rows) - 1), np.array([len(rows) - 1])

    def choose():
        picks = greedy_coreset(rows, unlabelled, labelled, inputs.k - 1,
                               distance_metric="euclidean", batch_size=1000)
        return [0, *(picks + 1)], None

    return choose


def numpy_k_center(inputs):
    """The running minimum of squared differences."""

    def choose():
        rows = inputs.embeddings
        nearest = np.full(len(rows), np.inf, dtype=np.float32)
        difference = np.empty_like(rows)
        picks = [0]
        for _ in range(inputs.k - 1):
            np.subtract(rows, rows[picks[-1]], out=difference)
            np.minimum(nearest, np.einsum("ij,ij->i", difference, difference), out=nearest)
            picks.append(int(nearest.argmax()))
        return picks, None

    return choose


def numpy_k_center_products(inputs):
    """The same by |x|^2 - 2 x.c + |c|^2: one product of BLAS a pick, inexact between close rows."""

    def choose():
        rows = inputs.embeddings
        norms = np.einsum("ij,ij->i", rows, rows)
        nearest = np.full(len(rows), np.inf, dtype=np.float32)
        picks = [0]
        for _ in range(inputs.k - 1):
            distances = rows @ (-2 * rows[picks[-1]])
            distances += norms
            distances += norms[picks[-1]]
            np.minimum(nearest, distances, out=nearest)
            picks.append(int(nearest.argmax()))
        return picks, None

    return choose


def skactiveml_badge(inputs):
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge

    class Classifier(SkactivemlClassifier):
        """Has predicted already."""

        def fit(self, X, y, sample_weight=None):
            return self

        def predict_proba(self, X):
            return inputs.probabilities[:, 0]

    unlabelled = np.full(len(inputs.embeddings), np.nan)

    def choose():
        return Badge(random_state=0).query(inputs.embeddings, unlabelled, Classifier(),
                                           fit_clf=False, batch_size=inputs.k), None

    return choose


def numpy_badge(inputs):
    """k-means++ on gradients that are never formed: (p - y).(p' - y') times h.h'."""
    random = np.random.default_rng(1)

    def choose():
        embeddings = inputs.embeddings
        residuals = inputs.probabilities[:, 0].astype(np.float32)
        residuals[np.arange(len(residuals)), residuals.argmax(1)] -= 1
        norms = (np.einsum("ij,ij->i", residuals, residuals)
                 * np.einsum("ij,ij->i", embeddings, embeddings))
        nearest = np.full(len(norms), np.inf, dtype=np.float32)
        picks = [int(norms.argmax())]
        for _ in range(inputs.k - 1):
            last = picks[-1]
            distances = residuals @ (-2 * residuals[last])
            distances *= embeddings @ embeddings[last]
            distances += norms
            distances += norms[last]
            np.minimum(nearest, distances, out=nearest)
            np.maximum(nearest, 0, out=nearest)
            nearest[last] = 0
            reached = np.cumsum(nearest, dtype=np.float64)
            picks.append(int(np.searchsorted(reached, random.random() * reached[-1], "right")))
        return picks, None

    return choose


def similarities(inputs):
    """All similarities of Thresher's `--similarity`, by NumPy."""
    rows = inputs.embeddings
    if inputs.similarity == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        values = rows @ rows.T
        values += 1
        return values
    norms = np.einsum("ij,ij->i", rows, rows)
    values = rows @ rows.T
    values *= 2
    values -= norms
    values -= norms[:, None]
    values -= values.min()
    return values


def apricot_facility_location(inputs):
    from apricot import FacilityLocationSelection
    from apricot.functions import facilityLocation

    # It compiles its loops in every fit: here once, before the clock starts.
    for name in ("calculate_gains", "calculate_gains_sieve"):
        compiled = functools.cache(getattr(facilityLocation, name))
        setattr(facilityLocation, name, compiled)
    FacilityLocationSelection(2, optimizer="lazy").fit(inputs.embeddings[:10])

    def choose():
        if inputs.similarity == "cosine":  # its own is the squared cosine
            selector = FacilityLocationSelection(inputs.k, metric="precomputed", optimizer="lazy")
            selector.fit(similarities(inputs))
        else:
            selector = FacilityLocationSelection(inputs.k, metric="euclidean", optimizer="lazy")
            selector.fit(inputs.embeddings)
        return selector.ranking, selector.gains

    return choose


def submodlib_facility_location(inputs):
    from submodlib import FacilityLocationFunction

    def choose():
        # Its own similarities go through Python lists and take far longer.
        function = FacilityLocationFunction(n=len(inputs.embeddings), mode="dense",
                                            separate_rep=False, sijs=similarities(inputs))
        picks = function.maximize(budget=inputs.k, optimizer="LazyGreedy", show_progress=False)
        return [pick for pick, _ in picks], [gain for _, gain in picks]

    return choose


RIVALS = {
    "batchbald": {"skactiveml": skactiveml_batchbald, "batchbald_redux": redux_batchbald,
                  "numpy": numpy_batchbald},
    "k-center": {"skactiveml": skactiveml_k_center, "small_text": small_text_k_center,
                 "numpy": numpy_k_center, "numpy_products": numpy_k_center_products},
    "badge": {"skactiveml": skactiveml_badge, "numpy": numpy_badge},
    "facility-location": {"apricot": apricot_facility_location,
                          "submodlib": submodlib_facility_location},
}
