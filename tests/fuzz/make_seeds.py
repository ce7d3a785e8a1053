"""Makes the seeds again, small and valid, and the hostile ones, whose headers claim more than there is: python make_seeds.py"""

import io
import json
import pathlib
import struct
import tarfile

import h5py
import numpy
from PIL import Image

SEEDS = pathlib.Path(__file__).parent / "seeds"
PIXELS = (numpy.arange(48, dtype="u1") * 5).reshape(4, 4, 3)


def image(form):
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, form)
    return stream.getvalue()


def archive(name):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"abc"))
    return stream.getvalue()


def hdf5(name, datasets, **attributes):
    with h5py.File(SEEDS / name, "w", libver="v108") as file:
        for attribute, value in attributes.items():
            file.attrs[attribute] = value
        for path, (value, of) in datasets.items():
            file[path] = value
            for attribute, text in of.items():
                file[path].attrs[attribute] = text


def main():
    SEEDS.mkdir(exist_ok=True)
    idx = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 2, 2) + bytes(range(8))
    files = {
        "idx.idx": idx,
        "idx-2_to_the_40.idx": struct.pack(">BBBBIII", 0, 0, 8, 3, 0xFFFFFFFF, 256, 256) + bytes(8),
        "cifar.bin": (bytes([3]) + bytes(3072)) * 2,
        "csv.csv": b"x,y,kind\n1,2,0\n3,4,1\n",
        "captions_tsv.tsv": b"file\tcaption\na.jpg\ta small dog\n",
        "captions_json.json": json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}],
                                          "annotations": [{"image_id": 1, "caption": "a dog"}]}).encode(),
        "coco_instances.json": json.dumps({"images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 8}], "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3.5, 4], "area": 14, "iscrowd": 0, "segmentation": [[1, 2, 3]]}],
            "categories": [{"id": 2, "name": "cup"}]}).encode(),
        "coco_results.json": json.dumps([{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3.5, 4], "score": 0.5,
                                          "segmentation": {"size": [8, 8], "counts": "a\"]"}}]).encode(),
        "coco_results-deep.json": b"[" * 10000,
        "image.image": image("PNG"),
        "image-jpeg.image": image("JPEG"),
        "image-2_to_the_40.image": image("PNG")[:16] + struct.pack(">II", 1 << 20, 1 << 20) + image("PNG")[24:],
        "archive.tar": archive("folder/a.txt"),
        "archive-outside.tar": archive("../../outside.txt"),
        "manifest.json": json.dumps({"format": "thresher-shards", "format_version": 1, "rows": 0, "classes": 2, "shards": []}).encode(),
        "manifest-2_to_the_40.json": json.dumps({"format": "thresher-shards", "format_version": 1, "rows": 1 << 40, "classes": 2, "shards": [
            {"file": "../../../etc/passwd", "rows": 1 << 40, "bytes": 1 << 60, "checksum": ""}]}).encode(),
        "status.json": json.dumps({"format": "thresher-status", "format_version": 1, "parts": [], "progress": {
            "title": "", "unit": "", "note": "", "done": 0, "total": 0, "rate": 0.0, "at_utc": ""}}).encode(),
        "answers_csv.csv": b"id,score,name,label\n3,0.5,,dog\n",
        "answers_json.json": json.dumps([{"id": 1, "data": {"id": 3}, "annotations": [
            {"result": [{"type": "choices", "value": {"choices": ["dog"]}}]}]}]).encode(),
        "answers_xml.xml": b'<annotations><image id="0" name="a.jpg"><tag label="dog"/></image></annotations>',
        "ids.txt": b"# ids\n3\n\n12\n",
        "labels.csv": b"id,label\n3,dog\n4,0\n5,\n",
        "voc_annotation.xml": b"<annotation><size><width>2</width><height>1</height></size><object><name>dog</name>"
                              b"<difficult>1</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox>"
                              b"</object></annotation>",
        "coco.json": json.dumps({"images": [{"id": 1, "file_name": "a.png", "width": 2, "height": 1}],
                                 "categories": [{"id": 3, "name": "dog"}],
                                 "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 2, 1], "area": 2,
                                                  "iscrowd": 0, "segmentation": [[0, 0, 1, 1]]}]}).encode(),
        "options.toml": b'pool = "p.h5"\nacquisitions = ["random", "entropy"]\nseed = 3\n',
    }
    for name, content in files.items():
        (SEEDS / name).write_bytes(content)
    version = {"format_version": numpy.int64(1)}
    hdf5("pool.h5", {"inputs": (PIXELS, {}), "targets": (numpy.array([0, 1, 0, 1]), {})})
    hdf5("scores.h5", {"scores/given": (numpy.array([0.5, 0.25], "f4"), {})}, format="thresher-scores", ids="rows", **version)
    hdf5("batch.h5", {"ids": (numpy.array([3, 1]), {}), "scores": (numpy.array([0.5, 0.25], "f4"), {})}, format="thresher-batch",
         **version)
    hdf5("run.h5", {"curves/steps/loss": (numpy.array([1.0, 0.5]), {"description": "loss"})}, format="thresher-run", **version)


if __name__ == "__main__":
    main()
