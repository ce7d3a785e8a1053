"""Pools of bright objects on dark pictures: squares (class 0), and frames (class 1), which are hollow."""

import h5py
import numpy

SIDE = 48


class Scenes:
    def __init__(self, rows, seed):
        self.random = numpy.random.default_rng(seed)
        self.images = self.random.normal(40.0, 10.0, (rows, 1, SIDE, SIDE))
        self.corners, self.classes, self.offsets = [], [], [0]

    def add(self, x, y, size, kind):
        """An object of the row that is being drawn."""
        image = self.images[len(self.offsets) - 1, 0]
        image[y:y + size, x:x + size] = 200.0
        if kind == 1:
            image[y + 3:y + size - 3, x + 3:x + size - 3] = 40.0
        self.corners.append((x, y, x + size, y + size))
        self.classes.append(kind)

    def end_row(self):
        self.offsets.append(len(self.classes))

    def write(self, path, boxes=True, **extra):
        with h5py.File(path, "w") as file:
            inputs = file.create_dataset("inputs", data=numpy.clip(self.images, 0, 255).astype("u1"))
            inputs.attrs["scale"] = 1.0 / 255.0
            inputs.attrs["mean"] = numpy.array([0.2])
            inputs.attrs["std"] = numpy.array([0.2])
            if boxes:
                file["boxes"] = numpy.array(self.corners, "f4")
                file["box_classes"] = numpy.array(self.classes, "i8")
                file["box_classes"].attrs["class_names"] = numpy.array(["square", "frame"], h5py.string_dtype())
                file["box_offsets"] = numpy.array(self.offsets, "i8")
            for dataset, values in extra.items():
                file[dataset] = values


def make_scenes(path, rows=48, seed=0, boxes=True):
    """One to three objects a picture, each in a quarter of its own, so that none overlap."""
    scenes = Scenes(rows, seed)
    random = scenes.random
    for row in range(rows):
        for cell in random.permutation(4)[:1 + row % 3]:
            size = int(random.integers(9, 18))
            x, y = (24 * (cell % 2) + int(random.integers(0, 24 - size)), 24 * (cell // 2) + int(random.integers(0, 24 - size)))
            scenes.add(x, y, size, int(random.integers(0, 2)))
        scenes.end_row()
    scenes.write(path, boxes)
    return path
