"""What the report is about: the files that were named, opened and read."""

import os
from dataclasses import dataclass, field

from thresher_report.boxes import PoolBoxes
from thresher_report.detections import read_categories, read_detections
from thresher_report.files import ReportError, kind_of, short_names
from thresher_report.maps import read_map
from thresher_report.pool import Pool
from thresher_report.runs import read_run
from thresher_report.scores import read_batch, read_scores

EXTREMES = 16  # images of the highest, and of the lowest, scores


@dataclass
class Inputs:
    runs: list = field(default_factory=list)
    scores: list = field(default_factory=list)
    batches: list = field(default_factory=list)
    maps: list = field(default_factory=list)
    pools: list = field(default_factory=list)
    main_pool: Pool | None = None  # the one that scores, batches and detections are about
    detections: object = None  # detections.Detections
    score: float | None = None  # from which they are shown
    names: dict = field(default_factory=dict)  # path as opened -> short name
    sources: list = field(default_factory=list)  # (short name, kind, HDF5 file that carries the provenance)


def read_inputs(paths, pool_path, detections_path=None, categories_path=None, score=None):
    """Opens and reads all of them; one ReportError tells of every input that cannot be used."""
    found, problems = Inputs(), []
    unique = list(dict.fromkeys(os.path.normpath(path) for path in paths))
    if pool_path is not None:
        pool_path = os.path.normpath(pool_path)
        unique += [pool_path] if pool_path not in unique else []
    names = short_names(unique)
    bare = [name.removesuffix(".h5") for name in names]
    for path, name, short in zip(unique, names, bare):
        name = short if bare.count(short) == 1 else name
        try:
            kind, opened = kind_of(path)
            if path == pool_path and kind != "pool":
                raise ReportError(f"{path}: was given as --pool, but is a {kind}" + (" file" if kind != "run" else ""))
            found.names[opened] = name
            source = opened
            if kind == "run":
                run = read_run(opened)
                run.name = name
                found.runs.append(run)
            elif kind == "scores":
                found.scores += read_scores(opened, EXTREMES)
            elif kind == "batch":
                batch = read_batch(opened)
                batch.name = f"{name} ({batch.acquisition})" if batch.acquisition else name
                found.batches.append(batch)
            elif kind == "map":
                found_map = read_map(opened)
                found_map.name = name
                found.maps.append(found_map)
            else:
                pool = Pool(opened)
                source = pool.shards[0].path
                found.pools.append(pool)
                if path == pool_path:
                    found.main_pool = pool
            found.sources.append((name, kind, source))
        except ReportError as problem:
            problems.append(str(problem))
    if not problems and found.main_pool is None and found.pools:
        if len(found.pools) > 1 and (found.scores or found.batches or detections_path is not None):
            problems.append(f"{len(found.pools)} pools were given; name the one that the scores, batches and detections are "
                            "about with --pool")
        found.main_pool = found.pools[0]
    if not problems and detections_path is not None:
        try:
            _read_detections(found, detections_path, categories_path)
            found.score = score
        except ReportError as problem:
            problems.append(str(problem))
    if problems:
        raise ReportError("\n".join(problems))
    return found


def _read_detections(found, path, categories_path):
    if found.main_pool is None or not found.main_pool.has_boxes:
        raise ReportError(f"{path}: detections are shown beside the boxes of a pool; " + (
            f"{found.main_pool.path} has none" if found.main_pool else "name the pool with --pool"))
    own = PoolBoxes(found.main_pool)
    ids = None if categories_path is None else read_categories(categories_path, own.class_names)
    found.detections = read_detections(path, own.classes, ids)
    found.names[path] = os.path.basename(path).removesuffix(".json")
