"""The part "table": nearest records against NumPy and scikit-learn, the kernel estimator, retraining."""

import sys

import numpy as np

from measure import cpu_seconds, keep_best, last_json, load, output_of

ROUNDS = 3


def numpy_nearest(records, queries, m):
    """On packed words, as NumPy counts bits; one query at a time keeps the words in cache."""
    found = []
    for query in queries:
        distances = np.bitwise_count(records ^ query).sum(1, dtype=np.int32)
        nearest = np.argpartition(distances, m)[:m]
        found.append(nearest[np.lexsort((nearest, distances[nearest]))])
    return np.concatenate(found)


def sklearn_nearest(records, queries, m):
    from sklearn.neighbors import NearestNeighbors

    def unpacked(words):
        return np.unpackbits(words.view(np.uint8), axis=1, bitorder="little").astype(bool)

    fitted = NearestNeighbors(n_neighbors=m, metric="hamming", algorithm="brute").fit(unpacked(records))
    asked = unpacked(queries)
    return lambda: fitted.kneighbors(asked, return_distance=False)


def table(bench):
    """Processor seconds of one thread."""
    path = bench.data / "subsets.u64"
    best = {}
    for _ in range(ROUNDS):
        line = last_json(output_of([bench.program("lookup_table"), "--bits", path]))
        words = np.fromfile(path, np.uint64).reshape(-1, (line["candidates"] + 63) // 64)
        records, queries = words[:line["records"]], words[line["records"]:]
        q, m = line["queries"], line["neighbours"]
        keep_best(best, {name: line[name] for name in ("nearest_s", "kernel_fit_s", "kernel_query_s", "retrain_s")})
        keep_best(best, {"numpy_s": cpu_seconds(lambda: numpy_nearest(records, queries, m)) / q})
        try:
            ask = sklearn_nearest(records, queries, m)
            keep_best(best, {"sklearn_s": cpu_seconds(ask) / q})
        except ImportError as error:
            print(f"table: {error} in .venv-bench, left out", file=sys.stderr)
    found = [sorted(row) for row in np.array(line["nearest"]).reshape(q, m).tolist()]
    distances = np.bitwise_count(records[None] ^ queries[:, None]).sum(2, dtype=np.int32)
    exact = all(sorted(distances[i][row]) == sorted(distances[i])[:m] for i, row in enumerate(found))
    del line["nearest"]
    yield line | best | {"exact": exact, "load": load()}
