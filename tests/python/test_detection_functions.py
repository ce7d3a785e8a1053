"""Matching, codes, losses and detections against torchvision's, where that can be imported.

THRESHER_DETECTION_FUNCTIONS names the program of detection_functions.cpp. The rule for an object's best
anchors differs, and what is expected of torchvision's matchers is changed so: all anchors that tie are for
the object, of which its SSD takes the first; and where an anchor is the best of one object and overlaps
another more, its RetinaNet has it find the latter, which may leave the former without any.
"""

import functools
import json
import os
import pathlib
import random
import subprocess
import tempfile
import types
import unittest

try:
    import torch
    from torchvision.models.detection import _utils
    from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead
    from torchvision.models.detection.ssd import SSD
    from torchvision.ops import box_iou
except (ImportError, OSError) as error:
    MISSING = f"no torchvision to compare with: {error}"
else:
    MISSING = ""

HEIGHT, WIDTH, CLASSES = 120, 160, 5
OBJECTS = (4, 1, 15, 7)


@functools.cache
def make_scene(*arguments):
    return Scene(*arguments)


def grid_anchors():
    """Two levels of three shapes, one after the other, and how many each has."""
    anchors, levels = [], []
    for step, size in ((10, 16), (20, 44)):
        before = len(anchors)
        for y in range(step // 2, HEIGHT, step):
            for x in range(step // 2, WIDTH, step):
                for w, h in ((size, size), (1.4 * size, 0.7 * size), (0.7 * size, 1.4 * size)):
                    anchors.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        levels.append(len(anchors) - before)
    return torch.tensor(anchors), levels


class Scene:
    """Random objects and outputs, torchvision's and ours."""

    def __init__(self, name, seed, objects):
        draw = random.Random(seed)
        torch.manual_seed(seed)
        self.name = name
        self.anchors, self.levels = grid_anchors()
        images, columns = len(objects), CLASSES + (name == "ssd")
        self.boxes = []
        for count in objects:
            self.boxes.append([])
            for _ in range(count):
                x, y = draw.uniform(0, WIDTH - 9), draw.uniform(0, HEIGHT - 9)
                box = [x, y, min(x + draw.uniform(8, 70), WIDTH), min(y + draw.uniform(8, 70), HEIGHT)]
                self.boxes[-1].append(torch.tensor(box).tolist() + [draw.randrange(CLASSES)])
        # The background comes last in an ssd, first in torchvision's.
        self.logits = torch.randn(images, len(self.anchors), columns) * 2 - 2
        if name == "ssd":
            self.logits[..., CLASSES] += 4
        # Shifts that leave a part of each box in the image.
        self.codes = torch.randn(images, len(self.anchors), 4) * (1.0 if name == "ssd" else 0.15)
        self.found = self.run()

    def run(self):
        scene = {"name": self.name, "classes": CLASSES, "height": HEIGHT, "width": WIDTH, "levels": self.levels,
                 "boxes": self.boxes, "anchors": self.anchors.flatten().tolist(),
                 "logits": self.logits.flatten().tolist(), "codes": self.codes.flatten().tolist()}
        with tempfile.TemporaryDirectory(prefix="thresher-test-") as folder:
            path = pathlib.Path(folder) / "scene.json"
            path.write_text(json.dumps(scene))
            done = subprocess.run([os.environ["THRESHER_DETECTION_FUNCTIONS"], str(path)], check=True,
                                  capture_output=True, text=True)
        return json.loads(done.stdout)

    def coder(self):
        return _utils.BoxCoder((10.0, 10.0, 5.0, 5.0) if self.name == "ssd" else (1.0, 1.0, 1.0, 1.0))

    def target(self, image):
        rows = torch.tensor(self.boxes[image]).reshape(-1, 5)
        first = 1 if self.name == "ssd" else 0
        return {"boxes": rows[:, :4], "labels": rows[:, 4].long() + first}

    def matches(self, image):
        """torchvision's, and on how many anchors the rule above changes them."""
        boxes = self.target(image)["boxes"]
        if len(boxes) == 0:
            return torch.full((len(self.anchors),), -1), 0
        overlaps = box_iou(boxes, self.anchors)
        matcher = (_utils.SSDMatcher(0.5) if self.name == "ssd"
                   else _utils.Matcher(0.5, 0.4, allow_low_quality_matches=True))
        theirs = matcher(overlaps)
        expected = theirs.clone()
        for place, row in enumerate(overlaps):
            expected[row == row.max()] = place
        return expected, int((expected != theirs).sum())

    def outputs(self, image, requires_grad=False):
        """An image's outputs as torchvision has them."""
        logits = self.logits[image : image + 1].clone().requires_grad_(requires_grad)
        codes = self.codes[image : image + 1].clone().requires_grad_(requires_grad)
        theirs = torch.cat([logits[..., CLASSES:], logits[..., :CLASSES]], -1)
        return logits, codes, {"cls_logits": theirs, "bbox_regression": codes}

    def losses(self, image):
        """torchvision's loss of one image, and its gradients."""
        logits, codes, outputs = self.outputs(image, requires_grad=True)
        arguments = [self.target(image)], outputs, [self.anchors], [self.matches(image)[0]]
        if self.name == "ssd":
            parts = SSD.compute_loss(types.SimpleNamespace(box_coder=self.coder(), neg_to_pos_ratio=3), *arguments)
        else:
            head = RetinaNetHead(8, 1, CLASSES)
            head.regression_head._loss_type = "l1"
            parts = head.compute_loss(*arguments)
        loss = parts["classification"] + parts["bbox_regression"]
        loss.backward()
        return loss.item(), logits.grad[0], codes.grad[0]

    def detections(self, image):
        _, _, outputs = self.outputs(image)
        shape = [(HEIGHT, WIDTH)]
        if self.name == "ssd":
            model = types.SimpleNamespace(box_coder=self.coder(), score_thresh=0.01, topk_candidates=400,
                                          detections_per_img=200, nms_thresh=0.45)
            return SSD.postprocess_detections(model, outputs, [self.anchors], shape)[0]
        model = types.SimpleNamespace(box_coder=self.coder(), score_thresh=0.05, topk_candidates=1000,
                                      detections_per_img=300, nms_thresh=0.5)
        by_level = {name: list(values.split(self.levels, 1)) for name, values in outputs.items()}
        return RetinaNet.postprocess_detections(model, by_level, [list(self.anchors.split(self.levels))], shape)[0]


@unittest.skipIf(MISSING, MISSING)
class DetectionFunctions(unittest.TestCase):
    def scenes(self, objects=OBJECTS):
        for name in ("ssd", "retinanet"):
            for seed in range(5):
                yield make_scene(name, seed, objects)

    def assert_near(self, found, expected, tolerance):
        self.assertEqual(found.shape, expected.shape)
        self.assertLessEqual((found - expected).abs().max().item(), tolerance)

    def test_matches_and_codes(self):
        changed, objects = {"ssd": 0, "retinanet": 0}, 0
        for scene in self.scenes():
            for image, boxes in enumerate(scene.boxes):
                expected, changes = scene.matches(image)
                self.assertEqual(scene.found["matches"][image], expected.tolist())
                changed[scene.name] += changes
                objects += len(boxes)
                own = expected >= 0
                codes = scene.coder().encode_single(scene.target(image)["boxes"][expected[own]], scene.anchors[own])
                self.assert_near(torch.tensor(scene.found["codes"][image]), codes, 2e-5)
        print(f"{objects} objects; anchors for which the rules differ: {changed}")

    def test_losses_and_gradients(self):
        for scene in self.scenes():
            logit_gradients = torch.tensor(scene.found["logit_gradients"]).view_as(scene.logits)
            code_gradients = torch.tensor(scene.found["code_gradients"]).view_as(scene.codes)
            for image in range(len(scene.boxes)):
                loss, of_logits, of_codes = scene.losses(image)
                self.assertLessEqual(abs(scene.found["losses"][image] - loss), 1e-5 * loss)
                self.assert_near(logit_gradients[image], of_logits, 1e-6)
                # The slope of the smooth distance is the distance, as exact as torchvision's codes of 20 and more.
                self.assert_near(code_gradients[image], of_codes, 2e-5)

    def test_losses_without_objects(self):
        # An SSD of torchvision learns nothing of such an image; ours of its hardest anchor.
        for scene in self.scenes(objects=(0,)):
            loss = scene.losses(0)[0]
            if scene.name == "ssd":
                self.assertEqual(loss, 0.0)
                loss = -torch.log_softmax(scene.logits[0], 1)[:, CLASSES].min().item()
            self.assertLessEqual(abs(scene.found["losses"][0] - loss), 1e-5 * loss)

    def test_detections(self):
        for scene in self.scenes():
            for image in range(len(scene.boxes)):
                found, theirs = scene.found["detections"][image], scene.detections(image)
                corners = torch.tensor(found["corners"]).reshape(-1, 4)
                first = 1 if scene.name == "ssd" else 0
                # torchvision keeps boxes of which nothing lies in the image: of these there are none here.
                sides = theirs["boxes"][:, 2:] - theirs["boxes"][:, :2]
                self.assertGreater(sides.min().item(), 0.0)
                self.assertGreater(len(corners), 50)
                self.assertEqual(found["classes"], (theirs["labels"] - first).tolist())
                self.assert_near(torch.tensor(found["scores"]), theirs["scores"], 1e-6)
                self.assert_near(corners, theirs["boxes"], 1e-3)


if __name__ == "__main__":
    unittest.main()
