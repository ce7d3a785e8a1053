"""The Python rivals of `thresher predict`: the same networks in PyTorch, fed from the same file."""

import time

import h5py
import numpy as np
import torch
from torch import nn

SLAB_BYTES = 8 * 2**20


def make_network(name):
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256),
                             nn.ReLU(), nn.Linear(256, 10)).eval()
    return nn.Sequential(nn.Conv2d(1, 32, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(32, 64, 5),
                         nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(),
                         nn.Linear(128, 10)).eval()


class Rows(torch.utils.data.Dataset):
    """What people write: one row at a time."""

    def __init__(self, path):
        self.inputs = h5py.File(path)["/inputs"]

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, row):
        return torch.from_numpy(self.inputs[row]).float() / 255


def by_rows(network, path):
    loader = torch.utils.data.DataLoader(Rows(path), batch_size=256, shuffle=True)
    return [network(batch).log_softmax(1) for batch in loader]


def by_slabs(network, path):
    outputs = []
    with h5py.File(path) as file:
        inputs = file["/inputs"]
        slab = max(1, SLAB_BYTES // int(np.prod(inputs.shape[1:])))
        for begin in range(0, len(inputs), slab):
            rows = torch.from_numpy(inputs[begin:begin + slab])
            for batch in rows.split(256):
                outputs.append(network(batch.float().mul_(1 / 255)).log_softmax(1))
    return outputs


def measure_python(path, model):
    """Images a second of both, the model and the file already open to the system's cache."""
    network = make_network(model)
    rates = {}
    with torch.inference_mode():
        for name, body in (("rows", by_rows), ("slabs", by_slabs)):
            begin = time.perf_counter()
            rows = sum(len(part) for part in body(network, path))
            rates[f"{name}_images_per_s"] = rows / (time.perf_counter() - begin)
    return rates
