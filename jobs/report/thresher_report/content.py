"""What the report says: from the inputs to sections of tables and charts."""

import os
import re
from dataclasses import dataclass, field

import numpy

from thresher_report import __version__, charts, games, influence, page, picks, policy, published, roles, runs, sheets, style
from thresher_report.box_sections import BoxSections
from thresher_report.detections import read_categories, read_detections
from thresher_report.files import ReportError, attributes, kind_of, open_file, short_names
from thresher_report.maps import read_map
from thresher_report.boxes import PoolBoxes
from thresher_report.pool import Pool
from thresher_report.runs import read_run
from thresher_report.scores import read_batch, read_scores

EXTREMES = 16  # images of the highest, and of the lowest, scores
BOX_EXTREMES = 8  # where boxes are drawn
FIRST_PICKS = 8  # images of a batch in a row
FIRST_ATTRIBUTES = ("command_line", "created_utc", "producer", "producer_version", "git_commit", "seed", "mpi_ranks")


@dataclass
class Inputs:
    runs: list = field(default_factory=list)
    scores: list = field(default_factory=list)
    batches: list = field(default_factory=list)
    maps: list = field(default_factory=list)
    pools: list = field(default_factory=list)
    main_pool: Pool | None = None  # the one that scores, batches and detections are about
    detections: object = None  # detections.Detections
    score: float | None = None  # from which they are shown
    names: dict = field(default_factory=dict)  # path as opened -> short name
    sources: list = field(default_factory=list)  # (short name, kind, HDF5 file that carries the provenance)


def read_inputs(paths, pool_path, detections_path=None, categories_path=None, score=None):
    """Opens and reads all of them; one ReportError tells of every input that cannot be used."""
    found, problems = Inputs(), []
    unique = list(dict.fromkeys(os.path.normpath(path) for path in paths))
    if pool_path is not None:
        pool_path = os.path.normpath(pool_path)
        unique += [pool_path] if pool_path not in unique else []
    for path, name in zip(unique, short_names(unique)):
        name = name[:-3] if name.endswith(".h5") else name
        try:
            kind, opened = kind_of(path)
            if path == pool_path and kind != "pool":
                raise ReportError(f"{path}: was given as --pool, but is a {kind}" + (" file" if kind != "run" else ""))
            found.names[opened] = name
            source = opened
            if kind == "run":
                run = read_run(opened)
                run.name = name
                found.runs.append(run)
            elif kind == "scores":
                found.scores += read_scores(opened, EXTREMES)
            elif kind == "batch":
                batch = read_batch(opened)
                batch.name = f"{name} ({batch.acquisition})" if batch.acquisition else name
                found.batches.append(batch)
            elif kind == "map":
                found_map = read_map(opened)
                found_map.name = name
                found.maps.append(found_map)
            else:
                pool = Pool(opened)
                source = pool.shards[0].path
                found.pools.append(pool)
                if path == pool_path:
                    found.main_pool = pool
            found.sources.append((name, kind, source))
        except ReportError as problem:
            problems.append(str(problem))
    if not problems and found.main_pool is None and found.pools:
        if len(found.pools) > 1 and (found.scores or found.batches or detections_path is not None):
            problems.append(f"{len(found.pools)} pools were given; name the one that the scores, batches and detections are "
                            "about with --pool")
        found.main_pool = found.pools[0]
    if not problems and detections_path is not None:
        try:
            _read_detections(found, detections_path, categories_path)
            found.score = score
        except ReportError as problem:
            problems.append(str(problem))
    if problems:
        raise ReportError("\n".join(problems))
    return found


def _read_detections(found, path, categories_path):
    if found.main_pool is None or not found.main_pool.has_boxes:
        raise ReportError(f"{path}: detections are shown beside the boxes of a pool; " + (
            f"{found.main_pool.path} has none" if found.main_pool else "name the pool with --pool"))
    own = PoolBoxes(found.main_pool)
    ids = None if categories_path is None else read_categories(categories_path, own.class_names)
    found.detections = read_detections(path, own.classes, ids)
    found.names[path] = os.path.basename(path).removesuffix(".json")


def make_report(inputs):
    """(HTML, charts)."""
    return _Report(inputs).make()


class _Report(BoxSections):
    def __init__(self, inputs):
        self.inputs = inputs
        self.charts = []
        count = len(inputs.sources)
        self.page = page.Page(f"From {count} input{'s' if count != 1 else ''}: "
                              + ", ".join(f"{name} ({kind})" for name, kind, _ in inputs.sources) + ".",
                              f"Made by thresher-report {__version__}.")
        self.surveys = {}

    def make(self):
        self._survey_pools()
        self._survey_boxes()
        self._maps()
        self._detections()
        for run in self.inputs.runs:
            self._run(run)
            self._roles(run)
        if self.inputs.main_pool is not None:
            self._noise()
            self._classes()
        self._pool_boxes()
        self._scores()
        self._images()
        self._ledgers()
        self._configuration()
        return self.page.html(), self.charts

    def _picture(self, chart):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", chart.name).strip("-.")
        taken = {other.name for other in self.charts}
        chart.name = name
        for number in range(2, len(taken) + 2):
            if chart.name not in taken:
                break
            chart.name = f"{name}-{number}"
        self.charts.append(chart)
        return page.picture(chart)

    def _section(self, title, *parts):
        self.page.sections.append(page.Section(title, [part for part in parts if part]))

    def _fact(self, value, told):
        self.page.facts.append((value, told))

    # Pools

    def _survey_pools(self):
        """One pass over the labels of each pool; that of the main pool also finds all rows that will be shown."""
        for pool in self.inputs.pools:
            wanted = [numpy.empty(0, dtype=numpy.int64)]
            if pool is self.inputs.main_pool:
                wanted += [batch.ids for batch in self.inputs.batches]
                wanted += [end.ids for scores in self.inputs.scores for end in (scores.highest, scores.lowest)]
                wanted += [ids for run in self.inputs.runs for ids in run.all_batches()]
                wanted += [self.inputs.detections.ids] if self.inputs.detections is not None else []
            survey = self.surveys[pool.path] = pool.survey(numpy.concatenate(wanted))
            if pool is self.inputs.main_pool:
                for batch in self.inputs.batches:
                    pool.check_found(survey, batch.ids, batch.path)
                for scores in self.inputs.scores:
                    pool.check_found(survey, numpy.concatenate([scores.highest.ids, scores.lowest.ids]), scores.path)

    def _main(self):
        pool = self.inputs.main_pool
        return pool, self.surveys[pool.path], self.inputs.names[pool.path]

    def _noise(self):
        rows, series = [], []
        for pool in sorted(self.inputs.pools, key=lambda one: one is not self.inputs.main_pool):
            survey = self.surveys[pool.path]
            if survey.wrong is not None and survey.compared:
                series.append((f"pool {self.inputs.names[pool.path]}", survey.wrong, survey.compared))
        pool, survey, _ = self._main()
        if pool.has_truth and survey.compared:
            for batch in self.inputs.batches:
                _, labels = survey.of(batch.ids)
                series.append((batch.name, *labels.noise()))
        if not series:
            return
        first = series[0][1] / series[0][2]
        for label, wrong, compared in series:
            share = wrong / compared if compared else numpy.nan
            ratio = f"{share / first:.2f} ×" if first > 0 and numpy.isfinite(share) else "–"
            rows.append((label, style.number(compared), style.number(wrong), style.percent(share), ratio))
            self._fact(style.percent(share), f"wrong labels in {label}")
        self._section(
            "How much noise was selected",
            page.paragraph("A label is wrong where the pool's label differs from its truth (/clean_targets). Rows "
                           "without a label or a truth are left out."),
            self._picture(charts.noise_shares("selected", series)),
            page.table(("", "rows compared", "wrong labels", "share", "against the pool"), rows))

    def _classes(self):
        for pool in self.inputs.pools:
            survey, name = self.surveys[pool.path], self.inputs.names[pool.path]
            if pool.has_boxes and not pool.has_targets:
                continue
            if not pool.has_targets or not survey.counts.sum():
                self._section(f"Class make-up: {name}", page.paragraph(
                    f"The pool has {pool.rows:,} rows and no labels.", "note"))
                continue
            series = [(f"pool {name}", survey.counts)]
            rows_without = [survey.unlabelled]
            if pool is self.inputs.main_pool:
                for batch in self.inputs.batches:
                    targets = survey.of(batch.ids)[1].targets
                    known = targets[targets >= 0]
                    series.append((batch.name, numpy.bincount(known, minlength=len(survey.counts))))
                    rows_without.append(len(targets) - len(known))
            names = [pool.class_name(target) for target in range(len(survey.counts))]
            rows = [(class_name, *(style.number(counts[i]) for _, counts in series))
                    for i, class_name in enumerate(names)]
            if any(rows_without):
                rows.append(("without a label", *map(style.number, rows_without)))
            rows.append(("all", *(style.number(counts.sum() + without)
                                  for (_, counts), without in zip(series, rows_without))))
            title = "Class make-up of the batch against the pool" if len(series) > 1 else f"Class make-up: {name}"
            self._section(title, self._picture(charts.class_shares(name, names, series)),
                          page.folded("Rows by class", f"{len(names)} classes",
                                      page.table(("class", *(label for label, _ in series)), rows)))

    # Runs

    def _run(self, run):
        influences = influence.split(run.curves)
        if influences:
            x, y, effects = influences
            self._section(f"Influence of single candidates: {run.name}", self._picture(influence.chart(run.name, x, y, effects)),
                          page.table(("change of", "mean", "lowest", "highest", "raised by"), influence.table_rows(effects)))
        played = games.split(run)
        if played:
            self._games(run, played)
        if run.loops:
            self._loops(run)
            self._picks(run)
        training, gains = policy.split_training(run), policy.split_evaluation(run)
        if training:
            self._policy_training(run, training)
        if gains:
            self._section(f"What batches are worth: {run.name}", self._picture(policy.evaluation_chart(run.name, gains)),
                          page.table(*policy.evaluation_table(gains, policy.split_picks(run))))
        shown = bool(influences or played or run.loops or training or gains)
        run.not_shown.update({name: list(grid.shape) for name, grid in run.grids.items()})
        if run.curves:
            detector = published.is_detector(run)
            chart = charts.training_curves(run.name, run.curves, detector)
            epochs = [(name.partition("/")[2].replace("_", " "), curve) for name, curve in run.curves.items()
                      if name.startswith("evaluations/") and name != "evaluations/update" and len(curve)]
            rows = []
            for name, curve in epochs:
                share = style.is_share(name)
                tell = style.percent if share else style.number
                best = numpy.nan if not numpy.isfinite(curve).any() else (numpy.nanmax if share else numpy.nanmin)(curve)
                told = "training, anchors on objects classified right" if detector and name == "train accuracy" else name
                rows.append((told, tell(curve[-1]), tell(best), len(curve)))
                if name in ("validation accuracy", "validation average precision"):
                    told = name if name.endswith("accuracy") else "validation mAP at overlap .5"
                    self._fact(style.percent(curve[-1]), f"{told} of {run.name} at the end")
            self._section(f"Training: {run.name}", self._picture(chart),
                          page.table(("curve", "last", "best", "evaluations"), rows) if rows else "")
        if not shown and not run.curves:
            self._section(f"Run: {run.name}", page.paragraph("This run has no curves yet.", "note"))
        if run.not_shown:
            self.page.sections[-1].parts.append(page.paragraph(
                "Not shown: " + ", ".join(f"/curves/{name} of shape {shape}" for name, shape in run.not_shown.items())
                + ".", "note"))

    def _loops(self, run):
        rows, reached = [], []
        for acquisition, loop in run.loops.items():
            repeats, cycles = loop["metric"].shape
            last = runs.last_cycle(loop)
            if last is None:
                rows.append((acquisition, "–", "–", "–", "–", f"0 of {cycles}", f"0 of {repeats}"))
                continue
            metric, metric_spread, done = runs.mean_and_spread(loop["metric"][:, last])
            loss, loss_spread, _ = runs.mean_and_spread(loop["test_loss"][:, last])
            labelled = runs.mean_and_spread(loop["labelled"][:, last])[0]
            seconds = runs.mean_and_spread(loop["seconds"])[0]
            reached.append((metric, acquisition, labelled))
            rows.append((acquisition, style.number(labelled), _with_spread(100 * metric, 100 * metric_spread, 2, " %"),
                         _with_spread(loss, loss_spread, 3), style.quantity(seconds, "s"), f"{last + 1} of {cycles}",
                         f"{done} of {repeats}"))
        what = "labels" if run.metric.labelled == "labelled examples" else run.metric.labelled
        for metric, acquisition, labelled in sorted(reached, reverse=True)[:3]:
            self._fact(style.percent(metric), f"{run.metric.name} with {acquisition} after {style.number(labelled)} {what}")
        self._section(
            f"Active-learning cycles: {run.name}",
            self._picture(charts.learning_curves(run.name, run.loops, run.metric)) if reached else
            page.paragraph("No cycle has finished yet.", "note"),
            page.table(("acquisition", "labelled", run.metric.name, "test loss", "time of a cycle", "cycles", "repeats"),
                       rows, "After the last finished cycle: mean ± standard deviation over the repeats that finished it."),
            published.beside(run))

    def _games(self, run, played):
        columns = ("chosen by", *(f"batches of {batch}" for batch in played))
        self._section(f"Games: {run.name}", self._picture(games.chart(run.name, played, run.metric)),
                      page.table(columns, games.table_rows(played, "metric"),
                                 f"{run.metric.title} [%] with all labels: mean ± standard deviation over environments."),
                      page.table(columns, games.table_rows(played, "test_loss"), "Test loss with all labels."))

    def _picks(self, run):
        pool = self.inputs.main_pool
        if pool is None or not run.batches or sum(map(len, run.all_batches())) > picks.MOST_PICKS:
            return
        survey = self.surveys[pool.path]
        for ids in run.all_batches():
            if (survey.of(ids)[0] < 0).any():
                return  # of another pool
        measured = picks.measure(run.batches, pool, survey)
        if self._main_boxes() is not None:
            self._section(f"What was picked: {run.name}", *self._box_picks(run, measured))
            return
        parts = [self._picture(picks.chart(run.name, measured)),
                 page.table(("acquisition", *(title for _, title in picks.TITLES)), picks.table_rows(measured),
                            "Means over repeats and cycles.")]
        if pool.has_images():
            first = [(f"{acquisition}: its first picks", repeats[0][0][:FIRST_PICKS]) for acquisition, repeats in run.batches.items()]
            parts.append(self._picture(sheets.contact_sheet(
                f"{run.name}-picks-images", "Images picked in the first cycle",
                [self._group(heading, ids, None, None) for heading, ids in first])))
        self._section(f"What was picked: {run.name}", *parts)

    def _policy_training(self, run, training):
        heat = "" if training.shares is None else self._picture(
            policy.heat_map(run.name, training.shares, training.at))
        said = page.paragraph("The run warned of nothing.") if not training.warnings else \
            page.heading("The run warned") + "".join(page.paragraph(warning) for warning in training.warnings)
        self._section(f"Training of a policy: {run.name}", self._picture(policy.training_chart(run.name, training)), heat,
                      page.table(("in the last updates", "value"), policy.training_rows(training)), said)

    def _roles(self, run):
        if not roles.shares_of(run.ledger):
            return
        passed_over = run.ledger.get("actors", {}).get("passed_over", 0.0)
        told = "" if not passed_over else page.paragraph(
            f"Times an actor did not answer and others took over: {style.number(passed_over)}.")
        self._section(f"Who waited for whom: {run.name}", self._picture(roles.chart(run.name, run.ledger)), told,
                      page.table(("ranks that", "computed", "waited", "communicated", "in all"),
                                 roles.table_rows(run.ledger), "Actors score, learners train. Seconds over all ranks of a "
                                 "role."))

    def _ledgers(self):
        parts = []
        for run in self.inputs.runs:
            kinds = {kind: items for kind, items in run.ledger.items() if kind not in roles.KINDS}
            if kinds:
                parts += [page.heading(run.name), self._picture(charts.ledger(run.name, kinds))]
        if parts:
            self._section("Ledger: where time and operations went", *parts)

    # Scores

    def _of_acquisition(self, acquisition):
        return [batch for batch in self.inputs.batches if batch.acquisition == acquisition]

    def _selected_first(self):
        """The scores; first those of acquisitions that a batch was selected by."""
        return sorted(self.inputs.scores, key=lambda scores: not self._of_acquisition(scores.acquisition))

    def _scores(self):
        parts, rows = [], []
        for scores in self._selected_first():
            name = self.inputs.names[scores.path]
            label = scores.acquisition if len({one.path for one in self.inputs.scores}) == 1 else \
                f"{name}: {scores.acquisition}"
            parts.append(self._picture(charts.score_histogram(name, scores, self._of_acquisition(scores.acquisition))))
            rows.append((label, style.number(scores.rows), style.number(scores.quarantined),
                         style.number(scores.lowest.scores[0]), style.number(scores.mean),
                         style.number(scores.highest.scores[0])))
        if parts:
            self._section("Scores", *parts, page.table(("acquisition", "rows", "quarantined", "lowest", "mean", "highest"),
                                                       rows))

    def _images(self):
        pool = self.inputs.main_pool
        if pool is None or not (self.inputs.scores or self.inputs.batches):
            return
        if not pool.has_images():
            self._section("Images", page.paragraph(f"The pool's inputs have shape {list(pool.shape)}: no grey or RGB "
                                                   "images, so none are shown.", "note"))
            return
        parts, most, look = [], EXTREMES, {}
        if self._main_boxes() is not None:  # fewer and larger ones
            most, look = BOX_EXTREMES, {"columns": 4, "classes": self._main_boxes()[2]}
        for scores in self._selected_first():
            name, batches = self.inputs.names[scores.path], self._of_acquisition(scores.acquisition)
            selected = numpy.unique(numpy.concatenate([batch.ids for batch in batches])) if batches else None
            groups = [self._group(f"{scores.acquisition}: {which} scores", end.ids[:most], end.scores[:most], selected)
                      for which, end in (("highest", scores.highest), ("lowest", scores.lowest))]
            parts.append(self._picture(sheets.contact_sheet(
                f"{name}-{scores.acquisition}-images", f"Images by {scores.acquisition} score", groups, **look)))
        scored = {scores.acquisition for scores in self.inputs.scores}
        for batch in self.inputs.batches:
            if batch.acquisition not in scored:
                group = self._group(f"{batch.name}: picked first", batch.ids[:most], batch.scores[:most], None)
                parts.append(self._picture(sheets.contact_sheet(f"{self.inputs.names[batch.path]}-images",
                                                                f"Images of {batch.name}", [group], **look)))
        told = "Under each image: its score and its label; where the truth differs, both." if not look else \
            "Under each image: its score and how many boxes it has."
        if any(self._of_acquisition(scores.acquisition) for scores in self.inputs.scores):
            told += " A thick frame: selected."
        self._section("Highest and lowest scored images", page.paragraph(told), *parts)

    def _group(self, heading, ids, scores, selected):
        pool, survey, _ = self._main()
        rows, labels = survey.of(ids)
        boxes = self._main_boxes()
        cells = [sheets.Cell(image, []) for image in pool.images(rows)] if boxes is None else self._box_cells(boxes[0], rows)
        for i, cell in enumerate(cells):
            target = int(labels.targets[i])
            truth = target if labels.truth is None else int(labels.truth[i])
            lines = [] if scores is None else [style.score(float(scores[i]))]
            if truth >= 0 and target >= 0 and truth != target:
                lines += [f"label {pool.class_name(target)}", f"truth {pool.class_name(truth)}"]
            elif pool.has_targets:
                lines.append(pool.class_name(target))
            cell.lines = lines + cell.lines
            cell.framed = selected is not None and ids[i] in selected
        if any(cell.framed for cell in cells) and heading.endswith("scores"):
            heading += f", {sum(cell.framed for cell in cells)} of these {len(cells)} selected"
        return heading, cells

    # Configuration

    def _configuration(self):
        parts = []
        for name, kind, source in self.inputs.sources:
            with open_file(source) as file:
                found = attributes(file)
            config = found.pop("config", "")
            pairs = [(key, found.pop(key)) for key in FIRST_ATTRIBUTES if key in found] + sorted(found.items())
            inner = page.attribute_table([("file", source), *((key, value) for key, value in pairs if value)])
            if config:
                inner += page.preformatted(config)
            note = " · ".join(part for part in (kind, dict(pairs).get("created_utc", "")) if part)
            parts.append(page.folded(name, note, inner))
        self._section("Configuration", page.paragraph("What made each input: the command, the versions, every setting."),
                      *parts)


def _with_spread(mean, spread, digits, unit=""):
    if not numpy.isfinite(mean):
        return "–"
    text = f"{mean:.{digits}f}"
    if numpy.isfinite(spread):
        text += f" ± {spread:.{digits}f}"
    return text + unit
