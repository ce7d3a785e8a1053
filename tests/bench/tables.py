"""Puts the figures of a part between its markers in docs/results.md."""

import os
import platform
import re
import time


def number(value):
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def verdict(value, bar, at_least):
    met = value >= bar if at_least else value <= bar
    return "yes" if met else "**no**"


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*cells):
    return [row(*cells), "|" + "---|" * len(cells)]


def selection(lines):
    table = head("what", "Thresher [s]", "rival", "rival [s]", "ratio", "bar", "met")
    for line in lines:
        what = f"{line['selector']}, {line['rows']:,} rows, k = {line['k']:,}"
        ours = line["thresher_s"]

        def add(rival, seconds, bar=None):
            ratio = seconds / ours
            table.append(row(what, number(ours), rival, number(seconds), f"{ratio:.1f} x",
                             f">= {bar} x" if bar else "-",
                             verdict(ratio, bar, True) if bar else "-"))

        if "torch_topk_s" in line:
            add("`at::topk`, sorted", line["torch_topk_s"], 25)
            numpy = {name: line[name] for name in line if name.startswith("numpy")}
            best = min(numpy, key=numpy.get)
            names = {"numpy_argpartition_s": "NumPy `argpartition`, then sort",
                     "numpy_partition_threshold_s": "NumPy `partition`, threshold, then sort"}
            for name, seconds in numpy.items():
                add(names[name], seconds, 8 if name == best else None)
            ratio = ours / line["torch_max_s"]
            table.append(row(what, number(ours), "one pass of `at::max`",
                             number(line["torch_max_s"]), f"{ratio:.2f} of it", "<= 2 of it",
                             verdict(ratio, 2, False)))
        elif "torch_softmax_multinomial_s" in line:
            add("NumPy `Generator.choice(replace=False, p)`", line["numpy_choice_s"], 20)
            add("`at::multinomial`", line["torch_softmax_multinomial_s"], 5)
        else:
            table.append(row(what, number(ours), "`at::multinomial` refuses 2^24 and more", "-",
                             "-", "works", "yes"))
    return table


def process(lines):
    line = lines[0]
    table = head("what", "figure", "bar", "met")
    bar = 2 * line["memory_s"] + line["start_s"]
    table += [
        row("selection in memory", f"{number(line['memory_s'])} s", "-", "-"),
        row("start-up (`thresher list`)", f"{number(line['start_s'])} s", "-", "-"),
        row("the file read alone, 1 MiB at a time, by Python", f"{number(line['read_s'])} s", "-", "-"),
        row("whole process, file in page cache", f"{number(line['select_s'])} s",
            f"<= {number(bar)} s (2 x in memory + start-up)",
            verdict(line["select_s"], bar, False)),
        row("selection alone in that process, 1 rank [wall]",
            f"{number(line['select_phase_1_s'])} s", "-", "-"),
        row("selection alone, 2 ranks of one thread [wall]",
            f"{number(line['select_phase_2_s'])} s",
            "-", f"{line['select_phase_1_s'] / line['select_phase_2_s']:.2f} x 1 rank"),
        row("peak memory", f"{line['peak_bytes'] / 2**20:,.0f} MiB",
            f"<= {line['allowed_bytes'] / 2**20:,.0f} MiB (12 bytes a row + 256 MiB)",
            verdict(line["peak_bytes"], line["allowed_bytes"], False)),
    ]
    return table


def traffic(lines):
    table = head("ranks", "selector", "collectives, 10^5 rows", "10^8 rows", "bytes, 10^5 rows",
                 "10^8 rows", "the same")
    for line in lines:
        small, large = 10**5, 10**8
        same = all(line[f"{what}_{small}"] == line[f"{what}_{large}"]
                   for what in ("collectives", "bytes"))
        table.append(row(line["ranks"], line["selector"], line[f"collectives_{small}"],
                         line[f"collectives_{large}"], f"{line[f'bytes_{small}']:,}",
                         f"{line[f'bytes_{large}']:,}", "yes" if same else "**no**"))
    return table


def scoring(lines):
    table = head("model", "threads", "bare forward [images/s]", "batch", "`predict`", "fused `select`",
                 "share of bare (bar 97 %)", "met", "plain eager", "`predict` over eager")
    for line in lines:
        bare = line["bare_forward_images_per_s"]
        share = min(line["predict_images_per_s"], line["select_images_per_s"]) / bare
        eager = line["eager_images_per_s"]
        table.append(row(line["model"], line["threads"], number(bare),
                         line["bare_forward_batch"], number(line["predict_images_per_s"]),
                         number(line["select_images_per_s"]), f"{100 * share:.1f} %",
                         verdict(share, 0.97, True), number(eager),
                         f"{line['predict_images_per_s'] / eager:.2f} x"))
    return table


def loader(lines):
    table = head("model", "`thresher predict` [images/s]", "rival", "rival [images/s]", "ratio",
                 "bar", "met")
    for line in lines:
        ours = line["predict_images_per_s"]
        for name, rival, bar in (
            ("rows_images_per_s", "h5py + DataLoader, row by row, shuffled", 2),
            ("slabs_images_per_s", "h5py slabs of 8 MiB", 1.1),
        ):
            ratio = ours / line[name]
            table.append(row(line["model"], number(ours), rival, number(line[name]),
                             f"{ratio:.2f} x", f">= {bar} x", verdict(ratio, bar, True)))
    return table


def acquisitions(lines):
    table = head("what", "threads", "Thresher [s]", "rival", "rival [s]", "ratio", "bar", "met")
    for line in lines:
        what = (f"{line['acquisition']} + top {line['k']:,}, N = {line['rows']:,}, "
                f"S = {line['samples']}, C = {line['classes']}")
        ours = line["thresher_s"]

        def add(rival, seconds, bar=None):
            ratio = seconds / ours
            table.append(row(what, line["threads"], number(ours), rival, number(seconds),
                             f"{ratio:.1f} x", f">= {bar} x" if bar else "-",
                             verdict(ratio, bar, True) if bar else "-"))

        add("LibTorch", line["torch_s"], 3 if line["acquisition"] == "bald" else None)
        for key, rival in (("modal_s", "modAL `entropy_sampling`"), ("baal_s", "baal `BALD`")):
            if key in line:
                add(rival, line[key], 5)
        share = line["read_s"] / ours
        bar = line["acquisition"] == "entropy" and line["threads"] == 1
        table.append(row(what, line["threads"], number(ours),
                         f"a pass that only reads, {line['read_gb_per_s']:.1f} GB/s",
                         number(line["read_s"]), f"{100 * share:.0f} % of bandwidth",
                         ">= 60 %" if bar else "-", verdict(share, 0.6, True) if bar else "-"))
        scoring = line["thresher_scoring_s"]
        table.append(row(what + ", scoring alone", line["threads"], number(scoring), "the same",
                         number(line["read_s"]), f"{100 * line['read_s'] / scoring:.0f} %", "-",
                         "-"))
    return table


def joint_job(line):
    """What is chosen, from what."""
    letters = (("rows", "N"), ("embedding_size", "d"), ("samples", "S"), ("classes", "C"),
               ("k", "k"))
    sizes = ", ".join(f"{letter} = {line[name]:,}" for name, letter in letters if line.get(name))
    return f"{line['acquisition']} {line.get('similarity', '')}".strip() + f", {sizes}"


# Of each rival of a joint acquisition: what it is, and the bar.
JOINT_RIVALS = {
    "batchbald": {
        "skactiveml": ("scikit-activeml, samples beyond 1000 configurations", 5),
        "batchbald_redux": ("batchbald_redux, samples beyond 1000 configurations", 5),
        "numpy": ("NumPy, all configurations", None),
    },
    "k-center": {
        "skactiveml": ("scikit-activeml `CoreSet`", 10),
        "small_text": ("small-text `greedy_coreset`", None),
        "numpy": ("NumPy, squared differences", 4),
        "numpy_products": ("NumPy, by products, inexact between close rows", None),
    },
    "badge": {
        "skactiveml": ("scikit-activeml `Badge`", 40),
        "numpy": ("NumPy, gradients as factors", 1),
    },
    "facility-location": {
        "apricot": ("apricot, lazy", 10),
        "submodlib": ("submodlib, lazy, similarities by NumPy", None),
    },
}


def joint(lines):
    table = head("what", "Thresher [s]", "rival", "rival [s]", "ratio", "batch", "bar", "met")

    def add(what, ours, rival, theirs, batch, bar):
        ratio = theirs / ours
        table.append(row(what, number(ours), rival, number(theirs), f"{number(ratio)} x", batch,
                         f">= {bar} x" if bar else "-",
                         verdict(ratio, bar, True) if bar else "-"))

    for line in lines:
        what = joint_job(line)
        if line["benchmark"] == "joint":
            for name, (rival, bar) in JOINT_RIVALS[line["acquisition"]].items():
                if f"{name}_s" in line:
                    add(what, line["thresher_cpu_s"], rival, line[f"{name}_s"],
                        line["agrees"][name], bar)
        elif line["benchmark"] == "joint ranks":
            add(what, line["ranks_2_s"], "1 rank instead of 2 [wall]", line["ranks_1_s"],
                "the same bits" if line["equal"] else "**different**", 1.8)
        else:
            share = line["gb_per_s"] / line["read_gb_per_s"]
            table.append(row(what, number(line["thresher_cpu_s"]),
                             f"{line['k']:,} passes that only read, {line['read_gb_per_s']:.1f} GB/s",
                             number(share * line["thresher_cpu_s"]),
                             f"{100 * share:.0f} % of bandwidth", "-", ">= 70 %",
                             verdict(share, 0.7, True)))
            beside = (line["peak_bytes"] - line["input_bytes"]) / line["rows"]
            table.append(row(f"{what}, memory", "-", "-", "-",
                             f"{beside:.1f} bytes a row beside the embeddings", "-", "<= 16",
                             verdict(beside, 16, False)))
    return table


def jest(lines):
    table = head("what", "Thresher [s]", "LibTorch", "[s]", "ratio", "bar", "met")
    for line in lines:
        what = (f"B = {line['candidates']:,}, {line['kept']:,} kept in {line['chunks']} chunks, "
                f"d = {line['embedding_size']}")
        ours = line["thresher_cpu_s"]
        for name, rival, bar in (
            ("products_cpu_s", "the two products of all images with all texts", 3),
            ("needed_products_cpu_s", "products of all with those kept, both ways", None),
        ):
            ratio = ours / line[name]
            table.append(row(what, number(ours), rival, number(line[name]), f"{ratio:.2f} of it",
                             f"<= {bar} of it" if bar else "-",
                             verdict(ratio, bar, False) if bar else "-"))
        matrix = 4 * line["candidates"] ** 2
        table.append(row(f"{what}, memory", "-", "one matrix of all losses",
                         "-", f"{100 * line['peak_bytes'] / matrix:.1f} % of it", "-", "-"))
    return table


def scale(lines):
    line = lines[0]
    ratio = line["select_s"] / line["pass_s"]
    return head("what", "figure", "bar", "met") + [
        row("selection of the batch [wall]", f"{number(line['select_s'])} s", "-", "-"),
        row("one pass of NumPy's `max` over the same file, a thread for each rank [wall]",
            f"{number(line['pass_s'])} s", "-", "-"),
        row("selection over pass", f"{ratio:.2f}", "<= 2", verdict(ratio, 2, False)),
        row("whole process [wall]", f"{number(line['total_s'])} s", "-", "-"),
        row("peak memory of both ranks, the mapped file with it",
            f"{line['peak_bytes'] / 2**20:,.0f} MiB",
            f"<= {line['allowed_bytes'] / 2**20:,.0f} MiB (12 bytes a row + 256 MiB a rank)",
            verdict(line["peak_bytes"], line["allowed_bytes"], False)),
    ]


def machine():
    cpu = "unknown processor"
    with open("/proc/cpuinfo") as file:
        facts = dict(re.findall(r"(model name|cpu family|model)\s*: (.*)", file.read()))
        if "model name" in facts:  # virtual machines give the maker alone
            cpu = f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"


def table(lines):
    line = lines[0]
    rows = head("what", "Thresher [ms]", "against", "[ms]", "ratio", "bar", "met")
    what = (f"{line['neighbours']} nearest of {line['records']:,} records, {line['candidates']:,} candidates, "
            "a query")
    for name, rival, bar in (("numpy_s", "NumPy on packed words", 3),
                             ("sklearn_s", "scikit-learn `NearestNeighbors(hamming)`", 100)):
        if name not in line:
            continue
        ratio = line[name] / line["nearest_s"]
        rows.append(row(what, number(1e3 * line["nearest_s"]), rival, number(1e3 * line[name]), f"{ratio:.1f} x",
                        f">= {bar} x", verdict(ratio, bar, True)))
    for name, what, bar in (
        ("kernel_fit_s", "kernel estimator, fit of 500 records of 200 candidates", 300.0),
        ("kernel_query_s", "kernel estimator, estimate of a subset of 10", 0.05),
        ("retrain_s", "retraining softmax regression on 30 points, judged on 800, 32 side by side", 1.5),
    ):
        took = 1e3 * line[name]
        rows.append(row(what, number(took), "-", "-", "-", f"<= {bar:g} ms", verdict(took, bar, False)))
    return rows


def training(lines):
    table = head("an update, of 32 rows if not said otherwise, one thread", "Thresher [ms]", "against", "[ms]", "ratio", "bar",
                 "met")
    for line in lines:
        if "step_s" in line:
            what = f"learnability, {line['learner']} learner, {line['scorers']} scorers, rho 2"
            parts = line["learner_s"] + line["online_s"] + line["scoring_s"]
            ratio, share = line["step_s"] / parts, line["choose_s"] / line["step_s"]
            table.append(row(what, number(1e3 * line["step_s"]), "training of both models and scoring, each timed alone",
                             number(1e3 * parts), f"{ratio:.2f}", "<= 1.05", verdict(ratio, 1.05, False)))
            table.append(row(what, number(1e3 * line["choose_s"]), "choice of the rows, of the whole update",
                             number(1e3 * line["step_s"]), f"{100 * share:.2g} %", "<= 1 %", verdict(share, 0.01, False)))
            continue
        if "actors_s" in line:
            what, took = "hard-learner, cnn that scores itself, rho 3, 128 rows, an actor and a learner", line["actors_s"]
            ratio, busy = line["co_located_s"] / took, 1.0 - line["idle_share"]
            table.append(row(what, number(1e3 * took), "one rank that does both", number(1e3 * line["co_located_s"]),
                             f"{ratio:.2f} x", ">= 1.6 x", verdict(ratio, 1.6, True)))
            table.append(row(what, number(1e3 * took), "share of it that the learner is busy", "-", f"{100 * busy:.3g} %",
                             ">= 95 %", verdict(busy, 0.95, True)))
            continue
        ratio = line["thresher_s"] / line["torch_s"]
        table.append(row(f"uniform, {line['model']}", number(1e3 * line["thresher_s"]), "PyTorch eager, bytes in memory",
                         number(1e3 * line["torch_s"]), f"{ratio:.2f}", "<= 1", verdict(ratio, 1.0, False)))
    return table


def policy(lines):
    table = head("what", "Thresher", "rival", "rival's", "figure", "bar", "met")

    def add(line, ours, what, rival, theirs, bar):
        what += f", {line['rollouts']} rollouts, hidden {line['hidden']}"
        if theirs in line:
            ratio = line[theirs] / line[ours]
            table.append(row(what, f"{1e6 * line[ours]:.1f} us", rival, f"{1e6 * line[theirs]:.0f} us",
                             f"{ratio:.1f} x", f">= {bar} x", verdict(ratio, bar, True)))

    for line in lines:
        if line["candidates"] > 1000:
            table.append(row(
                f"walk over {line['candidates']:,} candidates", f"{line['total_s']:.3g} s", "-", "-",
                f"{1e9 * line['step_s']:.0f} ns a candidate; {line['peak_bytes'] / 2**20:,.0f} MiB with its gradient",
                "linear", "-"))
            continue
        if "gradient_step_s" in line:
            table.append(row("a step and its sample", f"{1e6 * line['step_s']:.1f} us", "-", "-", "-", "<= 100 us",
                             verdict(line["step_s"], 100e-6, False)))
        add(line, "step_s", "a step and its sample", "`nn.LSTMCell` in a Python loop", "lstm_cell_step_s", 10)
        add(line, "gradient_step_s", "with its gradient", "the same, with autograd", "lstm_cell_gradient_step_s", 10)
        add(line, "step_s", "a step and its sample", "`nn.LSTM`, the whole sequence", "lstm_step_s", 1.5)
    return table


def survival(lines):
    table = head("what", "figure", "bar", "met")
    for line in lines:
        if "ranks" in line:
            table.append(row(f"whole job over {line['ranks']} ranks that reads a block each, `mpirun` to exit", f"{line['whole_s']:.2f} s",
                             "<= 2 s to the first block", verdict(line["whole_s"], 2, False)))
            continue
        share = line["checkpoint_s"] / line["trained_s"]
        table.append(row(f"checkpoints every {line['every_s']} s while {line['model']} trains for {line['trained_s']:.0f} s",
                         f"{line['checkpoint_s']:.2f} s, {100 * share:.2g} %", "<= 2 %", verdict(share, 0.02, False)))
    return table


def detection(lines):
    table = head("what, one thread", "Thresher [ms]", "rival", "rival's [ms]", "ratio", "the same", "bar", "met")

    def add(what, ours, rival, theirs, same, bar=None):
        ratio = theirs / ours
        table.append(row(what, number(1e3 * ours), rival, number(1e3 * theirs), f"{ratio:.1f} x", same,
                         f">= {bar} x" if bar else "-", verdict(ratio, bar, True) if bar else "-"))

    for line in lines:
        if line["benchmark"] == "nms":
            if "torchvision_s" in line:
                add(f"suppression, {line['boxes']:,} boxes of {line['groups']} groups, {line['kept']:,} stay", line["nms_s"],
                    "torchvision `batched_nms`", line["torchvision_s"], "yes" if line["agrees"] else "**no**", 1)
            continue
        if line["benchmark"] == "detector":
            add(f"an update of {line['model']}, trunk small, 16 images of 128 x 128", line["update_s"], "PyTorch eager, torchvision's losses",
                line["torch_s"], f"loss to {line['loss_differs']:.0e}", 1)
            continue
        what = f"{line['what']}, {line['objects']:,} objects, {line['detections']:,} detections"
        for name, rival, bar in (("faster", "faster-coco-eval", 1), ("pycocotools", "pycocotools", None)):
            if f"{name}_read_s" not in line:
                continue
            differs = f"to {max(line['differs'][name], 1e-16):.0e}"
            add(f"COCO's numbers, {what}", line["evaluate_s"], rival, line[f"{name}_evaluate_s"], differs, bar)
            add(f"the same with reading both files, {what}", line["evaluate_s"] + line["read_s"], rival,
                line[f"{name}_evaluate_s"] + line[f"{name}_read_s"], differs, bar)
    return table


def letter_box(lines):
    table = head("photographs", "images", "decode and letter-box [ms each]", "libjpeg-turbo's decoding alone [ms each]",
                 "speed", "bar", "met")
    for line in lines:
        ours, bare = (1e3 * line[name] / line["images"] for name in ("thresher_decode_letter_box_s", "libjpeg_decode_s"))
        table.append(row(line["pack"], line["images"], number(ours), number(bare), f"{bare / ours:.2f} x", ">= 0.9 x",
                         verdict(bare / ours, 0.9, True)))
    return table


def write_tables(path, part, lines):
    loads = ", ".join(str(line["load"]) for line in lines)
    text = "\n".join(
        globals()[part](lines)
        + ["", f"{time.strftime('%Y-%m-%d')}, {machine()}; load average after each row: {loads}."])
    page = path.read_text()
    begin, end = f"<!-- begin {part} -->\n", f"<!-- end {part} -->"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    path.write_text(f"{before}{begin}{text}\n{end}{after}")
