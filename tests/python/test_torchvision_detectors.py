"""Detectors that torchvision scripts, through the program: the boxes that they find in Python, on any number of ranks. Skipped
where torchvision cannot be imported; PyTorch may be no newer than the program's LibTorch."""

import json
import pathlib
import sys
import unittest

import h5py
import numpy

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "jobs"))
from support import JobTest  # noqa: E402

try:
    import torch
    from torchvision.models.detection import ssd300_vgg16
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.models.detection.retinanet import RetinaNet
except (ImportError, OSError) as error:
    MISSING = f"no torchvision to compare with: {error}"
else:
    MISSING = ""

IMAGES, SIDE = 6, 96
CATEGORIES = {"ssd": ["__background__", "cat", "dog", "cow"], "retinanet": ["cat", "yak", "cow", "dog"]}
POOL_CLASSES = ["cow", "dog", "cat"]


def make_detector(name):
    torch.manual_seed(0)
    if name == "ssd":
        return ssd300_vgg16(weights=None, weights_backbone=None, num_classes=4).eval()
    trunk = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)
    # Untrained it gives every class .01.
    return RetinaNet(trunk, num_classes=4, min_size=128, max_size=128, score_thresh=0.005).eval()


@unittest.skipIf(MISSING, MISSING)
class TorchvisionDetectors(JobTest):
    def make_images(self):
        images = numpy.random.default_rng(0).integers(0, 256, (IMAGES, 3, SIDE, SIDE), dtype="u1")
        with h5py.File(self.path("pool.h5"), "w") as file:
            file["inputs"] = images
            file["inputs"].attrs.update({"scale": 1 / 255, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.3]})
            file["boxes"], file["box_classes"] = numpy.array([[0, 0, 9, 9]], "f4"), numpy.array([1])
            file["box_classes"].attrs["class_names"] = numpy.array(POOL_CLASSES, h5py.string_dtype())
            file["box_offsets"] = numpy.array([0, *[1] * IMAGES])
        return torch.from_numpy(images).float() / 255

    def expected(self, detector, image, names):
        """Rounded, for what is batched is rounded in another way. A box that was cut at the image until nothing was left is none."""
        with torch.inference_mode():
            found = detector([image])[0]
        return sorted((POOL_CLASSES.index(names[label]), round(score, 4), *(round(side, 1) for side in box))
                      for box, score, label in zip(*(found[key].tolist() for key in ("boxes", "scores", "labels")))
                      if names[label] in POOL_CLASSES and box[0] < box[2] and box[1] < box[3])

    def test_boxes_are_those_that_python_finds(self):
        images = self.make_images()
        for name, names in CATEGORIES.items():
            detector = make_detector(name)
            torch.jit.script(detector).save(self.path("detector.pt"), _extra_files={"categories.json": json.dumps(names)})
            for ranks in (0, 2):
                self.run_ok("evaluate", "--pool", self.path("pool.h5"), "--model", self.path("detector.pt"), "--detections",
                            self.path("found.json"), "--overwrite", ranks=ranks)
                found = [[] for _ in range(IMAGES)]
                for one in json.loads(pathlib.Path(self.path("found.json")).read_text()):
                    x, y, width, height = one["bbox"]
                    box = (x, y, x + width, y + height)
                    found[one["image_id"]].append((one["category_id"], round(one["score"], 4), *(round(side, 1) for side in box)))
                for image in range(IMAGES):
                    expected = self.expected(detector, images[image], names)
                    self.assertGreater(len(expected), 20)
                    same = set(map(tuple, expected)) & set(found[image])
                    self.assertEqual(len(found[image]), len(expected))
                    self.assertGreater(len(same), 0.9 * len(set(expected)), f"{name}, image {image}")


if __name__ == "__main__":
    unittest.main()
