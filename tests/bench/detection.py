"""The part "detection": COCO's numbers against faster-coco-eval and pycocotools, suppression against torchvision, and updates
of detectors against PyTorch."""

import contextlib
import io
import json
import pathlib
import sys

import h5py
import numpy as np

from measure import cpu_seconds, keep_best, last_json, load, output_of
from training import seconds_in_torch, seconds_of_update

ROUNDS = 3
IMAGES, SIDE, CLASSES, BATCH, UPDATES = 512, 128, 3, 16, 30
GOLDEN = pathlib.Path(__file__).parents[3] / "shared/data/golden/cocoapi-val2014-100"


def synthetic(folder, images, per_image):
    """Ground truth of 7 objects an image in 80 classes, with polygons, and detections near them and elsewhere."""
    random = np.random.default_rng(1)
    truth = {"images": [{"id": 3 * i + 1, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in range(images)],
             "categories": [{"id": c + 1, "name": f"class {c}"} for c in range(80)], "annotations": []}
    found = []
    for image in truth["images"]:
        size = np.exp(random.uniform(np.log(8), np.log(300), (7, 2)))
        boxes = np.concatenate([random.uniform(0, 340, (7, 2)), size], 1).round(2)
        classes = np.minimum(random.geometric(0.08, 7), 80)
        for box, of in zip(boxes.tolist(), classes.tolist()):
            polygon = random.uniform(0, 640, 60).round(2).tolist()
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, "image_id": image["id"], "category_id": of, "bbox": box,
                                         "area": 0.6 * box[2] * box[3], "iscrowd": int(random.random() < 0.01),
                                         "segmentation": [polygon]})
        which = random.integers(0, 7, per_image)
        shift = 1 + random.normal(0, 0.15, (per_image, 4))
        near = boxes[which] * shift
        far = np.concatenate([random.uniform(0, 340, (per_image, 2)), np.exp(random.uniform(2, 5.5, (per_image, 2)))], 1)
        is_near = random.random(per_image) < 0.3
        chosen = np.where(is_near[:, None], near, far).round(2).tolist()
        labels = np.where(is_near, classes[which], np.minimum(random.geometric(0.08, per_image), 80)).tolist()
        scores = np.where(is_near, random.beta(4, 2, per_image), random.beta(1, 6, per_image)).round(4).tolist()
        found += [{"image_id": image["id"], "category_id": of, "bbox": box, "score": score}
                  for of, box, score in zip(labels, chosen, scores)]
    paths = folder / f"truth-{images}.json", folder / f"found-{images}-{per_image}.json"
    for path, content in zip(paths, (truth, found)):
        path.write_text(json.dumps(content))
    return paths


def rivals_of_the_metric():
    rivals = {}
    try:
        from faster_coco_eval import COCO, COCOeval_faster
        rivals["faster"] = COCO, COCOeval_faster
    except ImportError as error:
        print(f"detection: {error} in .venv-bench, left out", file=sys.stderr)
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
        rivals["pycocotools"] = COCO, COCOeval
    except ImportError as error:
        print(f"detection: {error} in .venv-bench, left out", file=sys.stderr)
    return rivals


def run_rival(name, kinds, truth, found):
    """Processor seconds of reading and of evaluating, and the twelve numbers."""
    kept = {}

    def read():
        kept["truth"] = kinds[0](str(truth))
        kept["found"] = kept["truth"].loadRes(str(found))

    def evaluate():
        job = kinds[1](kept["truth"], kept["found"], "bbox")
        job.evaluate()
        job.accumulate()
        job.summarize()
        kept["numbers"] = np.asarray(job.stats[:12], float)

    with contextlib.redirect_stdout(io.StringIO()):
        times = {f"{name}_read_s": cpu_seconds(read), f"{name}_evaluate_s": cpu_seconds(evaluate)}
    return times, kept["numbers"]


def metric(bench):
    files = []
    if GOLDEN.exists():
        files.append(("val2014, 100 images", GOLDEN / "instances_val2014_100.json",
                      GOLDEN / "instances_val2014_fakebbox100_results.json"))
    for images, per_image in ((100, 100), (2000, 100)):
        files.append((f"made up, {images:,} images", *synthetic(bench.data, images, per_image)))
    rivals = rivals_of_the_metric()
    for what, truth, found in files:
        best, differs = {}, {}
        for _ in range(ROUNDS):
            line = last_json(output_of([bench.program("detection"), "--ground-truth", truth, "--detections", found]))
            keep_best(best, {name: line[name] for name in ("read_s", "evaluate_s")})
            for name, kinds in rivals.items():
                times, numbers = run_rival(name, kinds, truth, found)
                keep_best(best, times)
                differs[name] = float(np.abs(numbers - np.array(line["numbers"])).max())
        del line["numbers"]
        yield line | best | {"what": what, "differs": differs, "load": load()}


def suppression(bench):
    try:
        import torch
        from torchvision.ops import batched_nms
        torch.set_num_threads(1)
    except ImportError as error:
        print(f"detection: {error} in .venv-bench, left out", file=sys.stderr)
        batched_nms = None
    random = np.random.default_rng(2)
    for boxes, groups in ((1000, 1), (1000, 80), (10000, 1), (10000, 80), (100000, 80)):
        corner = random.uniform(0, 500, (boxes, 2))
        corners = np.concatenate([corner, corner + random.uniform(5, 150, (boxes, 2))], 1).astype(np.float32)
        scores = random.permutation(boxes).astype(np.float32) / boxes
        of = random.integers(0, groups, boxes)
        path = bench.data / "boxes.f32"
        np.concatenate([corners.ravel(), scores, of.astype(np.float32)]).tofile(path)
        best = {}
        for _ in range(ROUNDS):
            line = last_json(output_of([bench.program("detection"), "--boxes", boxes, "--groups", groups, "--data", path]))
            keep_best(best, {"nms_s": line["nms_s"]})
            if batched_nms:
                given = torch.from_numpy(corners), torch.from_numpy(scores), torch.from_numpy(of)
                repeats = 5 if boxes < 10**5 else 1
                keep_best(best, {"torchvision_s": min(cpu_seconds(lambda: batched_nms(*given, 0.5)) for _ in range(repeats))})
                # Of one group nms() adds nothing to the coordinates, so its result is exact.
                exact = torch.zeros(boxes, dtype=torch.bool)
                for group in range(groups):
                    own = (given[2] == group).nonzero()[:, 0]
                    exact[own[torch.ops.torchvision.nms(given[0][own], given[1][own], 0.5)]] = True
                best["agrees"] = bool((exact.nonzero()[:, 0].numpy() == np.sort(line["kept"])).all())
        line["kept"] = len(line["kept"])
        yield line | best | {"load": load()}


def make_pool(path):
    """Images of noise with 5 to 15 boxes."""
    random = np.random.default_rng(3)
    counts = random.integers(5, 16, IMAGES)
    corner = random.uniform(0, SIDE - 40, (counts.sum(), 2))
    boxes = np.concatenate([corner, corner + random.uniform(8, 40, corner.shape)], 1).astype(np.float32)
    with h5py.File(path, "w") as file:
        inputs = file.create_dataset("/inputs", data=random.integers(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=np.uint8))
        inputs.attrs["scale"] = 1 / 255
        file["/boxes"], file["/box_flags"] = boxes, np.zeros(len(boxes), np.uint8)
        classes = file.create_dataset("/box_classes", data=random.integers(0, CLASSES, len(boxes)))
        classes.attrs["class_names"] = [str(label) for label in range(CLASSES)]
        file["/box_offsets"] = np.concatenate([[0], counts.cumsum()])


class InTorch:
    """The same detector in PyTorch by the weights in `model`, the examples in memory as bytes."""

    def __init__(self, pool, name, model):
        import torch

        from detectors import anchors_of, with_weights_of

        with h5py.File(pool) as file:
            self.inputs, ends = torch.from_numpy(file["/inputs"][:]), file["/box_offsets"][:]
            boxes, labels = torch.from_numpy(file["/boxes"][:]), torch.from_numpy(file["/box_classes"][:])
        self.targets = [{"boxes": boxes[a:b], "labels": labels[a:b]} for a, b in zip(ends, ends[1:])]
        self.network = with_weights_of(model, name, CLASSES)
        self.anchors = anchors_of(self.network, SIDE)

    def loss(self, rows):
        from detectors import loss_of

        return loss_of(self.network, self.anchors, self.inputs[rows].float().mul_(1 / 255), [self.targets[row] for row in rows])

    def mean_loss(self):
        """Of all images, one by one."""
        import torch

        self.network.eval()
        with torch.inference_mode():
            return float(np.mean([self.loss([row]).item() for row in range(IMAGES)]))

    def seconds_of_update(self):
        self.network.train()
        return seconds_in_torch(self.network, self.loss, BATCH, UPDATES, IMAGES)


def updates(bench):
    """Of the small detectors, 16 images of 128 x 128 pixels, one thread."""
    try:
        import torch
        import torchvision  # noqa: F401
    except ImportError as error:
        print(f"detection: {error} in .venv-bench, left out", file=sys.stderr)
        return
    torch.set_num_threads(1)
    pool = bench.data / "pool-detection.h5"
    make_pool(pool)
    for name in ("ssd", "retinanet"):
        best, model = {}, bench.data / f"run-{name}" / "model.pt"
        for _ in range(ROUNDS):
            keep_best(best, {"update_s": sum(seconds_of_update(bench, pool, name, UPDATES, batch=BATCH).values()),
                             "torch_s": InTorch(pool, name, model).seconds_of_update()})
        theirs = InTorch(pool, name, model).mean_loss()
        said = last_json(output_of([bench.thresher, "evaluate", "--pool", pool, "--model", model, "--json", "--progress", "none"]))
        yield {"benchmark": "detector", "model": name, **best, "loss_differs": abs(said["loss"] / theirs - 1), "load": load()}


def detection(bench):
    """Processor seconds of one thread, of updates seconds that pass."""
    yield from metric(bench)
    yield from suppression(bench)
    yield from updates(bench)
