"""Opens what was named on the command line, and says what it is. Every failure is a ReportError of one line."""

import pathlib
import re

import h5py
import numpy

KINDS = {
    "thresher-run": "run",
    "thresher-scores": "scores",
    "thresher-batch": "batch",
    "thresher-pool": "pool",
    "thresher-map": "map",
}
FORMAT_VERSION = 1  # the newest that is read
TAKEN = "a report takes run directories, scores files, batch files, files of average precision and pools"


class ReportError(Exception):
    """What is wrong with an input: the file, the dataset, the value found, what is allowed."""


def open_file(path):
    """The HDF5 file, for reading. Not locked: finished files never change, they are only replaced."""
    try:
        return h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise ReportError(f"{path}: there is no such file or directory") from None
    except PermissionError:
        raise ReportError(f"{path}: may not be read (permission denied)") from None
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ReportError(f"{path}: is no HDF5 file, or a truncated one: {reason}") from None


def text_of(value):
    """An attribute as text for a person."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, numpy.ndarray):
        return ", ".join(text_of(item) for item in value.tolist())
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def attributes(thing):
    return {name: text_of(value) for name, value in sorted(thing.attrs.items())}


def setting(config, name):
    """The value of an option in the TOML text that files carry as `config`, as text; "" where it is not there."""
    found = re.search(rf'^{re.escape(name)}="?(.*?)"?$', config, re.MULTILINE)
    return found[1] if found else ""


def dataset(file, name, dimensions=None, kinds=""):
    """The dataset `name`, checked: `dimensions` axes, a NumPy kind out of `kinds` ("iu" integers, "f" floats)."""
    path = file.filename
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        held = ", ".join(sorted(file)) or "nothing"
        raise ReportError(f"{path}: there is no dataset {name}; the file has {held}")
    if dimensions is not None and found.ndim != dimensions:
        raise ReportError(f"{path}: {name} has shape {list(found.shape)}, expected {dimensions} axes")
    if kinds and found.dtype.kind not in kinds:
        wanted = "integers" if kinds == "iu" else "numbers"
        raise ReportError(f"{path}: {name} holds {found.dtype}, expected {wanted}")
    return found


def read(data, where=()):
    """data[where]; a read that fails, as from a damaged file, is a ReportError."""
    try:
        return data[where]
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ReportError(f"{data.file.filename}: {data.name} cannot be read: {reason}") from None


def kind_of(path):
    """(kind, file or directory to open): kind is "run", "scores", "batch", "map" or "pool". Throws for anything else."""
    place = pathlib.Path(path)
    if place.is_dir():
        if (place / "run.h5").is_file():
            return "run", str(place / "run.h5")
        if (place / "manifest.json").is_file():
            return "pool", str(place)
        raise ReportError(f"{path}: is a directory without run.h5 (a run) or manifest.json (a pool of shards); {TAKEN}")
    with open_file(path) as file:
        written = text_of(file.attrs.get("format", ""))
        version = file.attrs.get("format_version", FORMAT_VERSION)
        if written and str(version) not in map(str, range(1, FORMAT_VERSION + 1)):
            raise ReportError(f"{path}: has format_version {version}, this report reads up to {FORMAT_VERSION}; "
                              "use a newer thresher-report")
        if written in KINDS:
            return KINDS[written], str(path)
        if written:
            raise ReportError(f"{path}: is a {written} file; {TAKEN}")
        # Files that others wrote carry no format; what they hold says what they are.
        if "inputs" in file:
            return "pool", str(path)
        if isinstance(file.get("scores"), h5py.Group):
            return "scores", str(path)
        held = ", ".join(sorted(file)) or "nothing"
        raise ReportError(f"{path}: is no file that Thresher knows (no attribute format; it has {held}); {TAKEN}")


def short_names(paths):
    """A short name for each path: the last part, or as many parts as it takes to tell them apart."""
    parts = [pathlib.Path(path).resolve().parts for path in paths]
    names = []
    for one in parts:
        others = [other for other in parts if other != one]
        length = 1
        while length < len(one) and any(other[-length:] == one[-length:] for other in others):
            length += 1
        names.append("/".join(one[-length:]))
    return names
