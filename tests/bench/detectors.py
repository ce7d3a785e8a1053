"""The rivals of a detector's update: the small ssd and retinanet in PyTorch as people write them, on torchvision's matching and
losses. Parameters have Thresher's names, so that both can start from one file."""

import math
import types

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.detection import _utils
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

WIDTHS = (32, 64, 96, 128)  # of the trunk's levels


class SmallTrunk(nn.Module):
    def __init__(self):
        super().__init__()
        channels = 3
        layers = [(16, 2)] + [layer for width in WIDTHS for layer in ((width, 2), (width, 1))]
        for i, (width, stride) in enumerate(layers):
            self.add_module(f"conv{i}", nn.Conv2d(channels, width, 3, stride, 1, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(width))
            channels = width
        self.count = len(layers)

    def levels(self, x):
        found = []
        for i in range(self.count):
            x = functional.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)), inplace=True)
            if i > 0 and i % 2 == 0:
                found.append(x)
        return found


def by_anchor(levels, numbers):
    return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, numbers) for level in levels], 1)


class Ssd(SmallTrunk):
    shapes, weights = 4, (10.0, 10.0, 5.0, 5.0)

    def __init__(self, classes):
        super().__init__()
        self.columns = classes + 1
        self.logits = nn.ModuleList(nn.Conv2d(width, self.shapes * self.columns, 3, 1, 1) for width in WIDTHS)
        self.boxes = nn.ModuleList(nn.Conv2d(width, self.shapes * 4, 3, 1, 1) for width in WIDTHS)
        self.matcher = _utils.SSDMatcher(0.5)
        self.settings = types.SimpleNamespace(box_coder=_utils.BoxCoder(self.weights), neg_to_pos_ratio=3)

    def forward(self, images):
        levels = self.levels(images)
        return (by_anchor([conv(level) for conv, level in zip(self.logits, levels)], self.columns),
                by_anchor([conv(level) for conv, level in zip(self.boxes, levels)], 4))

    @staticmethod
    def shapes_of(size, growth):
        larger, wide = size * math.sqrt(growth), math.sqrt(2.0)
        return [(size, size), (larger, larger), (size * wide, size / wide), (size / wide, size * wide)]

    def loss(self, outputs, targets, anchors, matches):
        logits, codes = outputs
        # torchvision's background comes first.
        logits = torch.cat([logits[..., -1:], logits[..., :-1]], -1)
        moved = [{"boxes": target["boxes"], "labels": target["labels"] + 1} for target in targets]
        return SSD.compute_loss(self.settings, moved, {"cls_logits": logits, "bbox_regression": codes}, anchors, matches)


class NormedConv(nn.Conv2d):
    def __init__(self, width):
        super().__init__(width, width, 3, 1, 1)
        self.norm = nn.GroupNorm(width // 8, width)

    def forward(self, x):
        return functional.relu(self.norm(super().forward(x)), inplace=True)


class Retinanet(SmallTrunk):
    shapes, width = 6, 32

    def __init__(self, classes):
        super().__init__()
        self.classes = classes
        self.fpn = nn.ModuleDict({
            "inner": nn.ModuleList(nn.Conv2d(width, self.width, 1) for width in WIDTHS),
            "outer": nn.ModuleList(nn.Conv2d(self.width, self.width, 3, 1, 1) for _ in WIDTHS)})
        self.logits, self.boxes = self.tower(classes), self.tower(4)
        self.matcher = _utils.Matcher(0.5, 0.4, allow_low_quality_matches=True)
        head = RetinaNetHead(8, 1, classes)
        head.regression_head._loss_type = "l1"
        self.losses = (head.compute_loss,)  # in a tuple, so that its own convolutions are none of this network

    def tower(self, numbers):
        return nn.Sequential(NormedConv(self.width), NormedConv(self.width), nn.Conv2d(self.width, self.shapes * numbers, 3, 1, 1))

    def forward(self, images):
        inner = [conv(level) for conv, level in zip(self.fpn["inner"], self.levels(images))]
        for i in reversed(range(len(inner) - 1)):
            inner[i] = inner[i] + functional.interpolate(inner[i + 1], size=inner[i].shape[-2:], mode="nearest")
        levels = [conv(level) for conv, level in zip(self.fpn["outer"], inner)]
        return (by_anchor([self.logits(level) for level in levels], self.classes),
                by_anchor([self.boxes(level) for level in levels], 4))

    @staticmethod
    def shapes_of(size, growth):
        return [(scale * size * math.sqrt(ratio), scale * size / math.sqrt(ratio))
                for ratio in (2.0, 1.0, 0.5) for scale in (1.0, math.sqrt(growth))]

    def loss(self, outputs, targets, anchors, matches):
        logits, codes = outputs
        return self.losses[0](targets, {"cls_logits": logits, "bbox_regression": codes}, anchors, matches)


DETECTORS = {"ssd": Ssd, "retinanet": Retinanet}


def with_weights_of(path, name, classes):
    """A network with the weights of a file that Thresher wrote."""
    network = DETECTORS[name](classes)
    weights = {key.partition(".")[2]: value for key, value in torch.jit.load(str(path)).state_dict().items()}
    missing, unknown = network.load_state_dict(weights, strict=False)
    assert not unknown and all(key.endswith("num_batches_tracked") for key in missing), (missing, unknown)
    return network


def anchors_of(network, side):
    """Corners [A, 4], level by level, place by place."""
    first = max(8.0, side / 16)
    growth = (0.6 * side / first) ** (1 / (len(WIDTHS) - 1))
    anchors, places = [], side // 2
    for level in range(len(WIDTHS)):
        places = (places + 1) // 2
        step, shapes = side / places, network.shapes_of(first * growth**level, growth)
        for y in range(places):
            for x in range(places):
                middle = (step * (x + 0.5), step * (y + 0.5))
                anchors += [[middle[0] - w / 2, middle[1] - h / 2, middle[0] + w / 2, middle[1] + h / 2] for w, h in shapes]
    return torch.tensor(anchors)


def loss_of(network, anchors, images, targets):
    """The mean loss of a batch, as torchvision's detectors compute it in training."""
    matches = [network.matcher(box_iou(target["boxes"], anchors)) for target in targets]
    return sum(network.loss(network(images), targets, [anchors] * len(targets), matches).values())
