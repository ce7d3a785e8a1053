"""Published curves that loops over images are seen beside, for orientation and never in the same axes."""

from thresher_report import page
from thresher_report.files import setting

DETECTORS = ("ssd", "retinanet")
SOURCE = ("Yuan et al., Multiple Instance Active Learning for Object Detection (MI-AOD), CVPR 2021, on PASCAL VOC 07+12: "
          "16,551 images to train on, mAP on VOC 2007 test.")
RETINANET = {"5 %": 47.18, "7.5 %": 58.41, "10 %": 64.02, "12.5 %": 67.72, "15 %": 69.79, "17.5 %": 71.07, "20 %": 72.27,
             "100 %": 77.28}


def is_detector(run):
    return setting(run.config, "model") in DETECTORS or any(name.endswith("average_precision") for name in run.curves)


def beside(run):
    """A folded table where the loop trained a detector; "" elsewhere."""
    if run.metric is None or run.metric.curve != "test_average_precision" or setting(run.config, "model") not in DETECTORS:
        return ""
    table = page.table(("labelled images", *RETINANET), [("mAP [%], RetinaNet", *(f"{value:.2f}" for value in RETINANET.values()))])
    return page.folded(
        "For orientation: a published curve", "other data, another scale: not comparable number by number",
        page.paragraph(SOURCE + " Pretrained backbones, images of up to 1000 x 600 pixels and 20 classes of photographs: the form of "
                       "the curve, how soon it flattens, can be held beside that of this run, its height cannot.") + table)
