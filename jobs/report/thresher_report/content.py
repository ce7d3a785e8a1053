"""What the report says: from the inputs to sections of tables and charts."""

import re

import numpy

from thresher_report import __version__, charts, page, sheets, style
from thresher_report.box_sections import BoxSections
from thresher_report.files import attributes, open_file
from thresher_report.inputs import EXTREMES
from thresher_report.run_sections import RunSections

BOX_EXTREMES = 8  # where boxes are drawn
FIRST_ATTRIBUTES = ("command_line", "created_utc", "producer", "producer_version", "git_commit", "seed", "mpi_ranks")


def make_report(inputs):
    """(HTML, charts)."""
    return _Report(inputs).make()


class _Report(BoxSections, RunSections):
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
