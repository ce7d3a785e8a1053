"""What the report says of detection: average precision, pools with boxes, what was picked of them, detections."""

import numpy

from thresher_report import box_picks, boxes, charts, detections, maps, page, picks, sheets, style

EXAMPLES = 12  # images of a pool that have boxes
EMPTY_EXAMPLES = 4  # and that have none
MOST_ROWS = 25  # of a table that is not folded


class BoxSections:
    """The part of the report for detection; `inputs`, `surveys` and the rest are content._Report's."""

    def _survey_boxes(self):
        self.pool_boxes, self.box_surveys, self.box_classes = {}, {}, {}
        for pool in self.inputs.pools:
            if pool.has_boxes:
                own = boxes.PoolBoxes(pool)
                survey = own.survey()
                self.pool_boxes[pool.path], self.box_surveys[pool.path] = own, survey
                names = [own.class_name(c) for c in range(own.classes)]
                self.box_classes[pool.path] = sheets.Classes(names, survey.boxes)

    def _main_boxes(self):
        """(PoolBoxes, BoxSurvey, Classes) of the main pool; None where it has no boxes."""
        pool = self.inputs.main_pool
        if pool is None or not pool.has_boxes:
            return None
        return self.pool_boxes[pool.path], self.box_surveys[pool.path], self.box_classes[pool.path]

    # Average precision

    def _maps(self):
        for found in self.inputs.maps:
            if numpy.isfinite(found.mean):
                self._fact(f"{maps.points(found.mean)} %", f"{found.headline} of {found.name}")
            columns, rows = maps.class_table(found)
            numbers = ""
            if found.numbers:
                numbers = page.table(("COCO's numbers", "of", "[%]"), maps.number_rows(found),
                                     "A dash: no object is of that size.")
            drawn = [maps.class_chart(found), maps.curves_chart(found)] if (found.objects > 0).any() else []
            nothing = "" if drawn else page.paragraph("No class has an object that counts, so there is no average precision.", "note")
            self._section(f"Average precision: {found.name}",
                          page.paragraph(f"{found.headline}: {maps.points(found.mean, 2)} %, over {int((found.objects > 0).sum())} of "
                                         f"{len(found.names)} classes with {found.objects.sum():,} objects and "
                                         f"{found.detections.sum():,} detections.") if drawn else "",
                          nothing, *map(self._picture, drawn), self._long("By class", columns, rows), numbers)

    def _long(self, title, columns, rows, caption=""):
        """A table, folded where it is long."""
        table = page.table(columns, rows, caption)
        return table if len(rows) <= MOST_ROWS else page.folded(title, f"{len(rows)} rows", table)

    # Pools

    def _pool_boxes(self):
        for pool in self.inputs.pools:
            if not pool.has_boxes:
                continue
            own, survey, classes = (of[pool.path] for of in (self.pool_boxes, self.box_surveys, self.box_classes))
            name, total = self.inputs.names[pool.path], int(survey.boxes.sum())
            told = (f"{survey.rows:,} images with {total:,} boxes of {int((survey.boxes > 0).sum())} classes; without a box: "
                    f"{len(survey.empty):,} ({style.percent(len(survey.empty) / survey.rows)}).")
            parts = [page.paragraph(told)]
            if total:
                series = [(f"pool {name}", survey.boxes)]
                if pool is self.inputs.main_pool:
                    series += [(batch.name, box_picks.Picked(own.of(self._rows_of(batch.ids)), own.classes).classes)
                               for batch in self.inputs.batches]
                parts.append(self._picture(charts.class_shares(name, classes.names, series, "boxes")))
            rows = [row for row in boxes.table_rows(survey, own.class_name) if row[1] != "0" or row[0] == "all"]
            parts.append(self._long("Boxes by class and size", boxes.TABLE, rows,
                                    f"Small: up to 32 x 32 pixels of {own.pixels}; large: above 96 x 96 (COCO's sizes"
                                    + (", by the area of the object as annotated)." if own.has_areas else ", by the area of the box).")))
            parts.append(self._sheet(pool, self._examples, pool, name))
            self._section(f"Boxes: {name}", *parts)

    def _sheet(self, pool, make, *arguments):
        """A picture of images; nothing where the pool's inputs are none that can be shown."""
        return self._picture(make(*arguments)) if pool.has_images() else ""

    def _rows_of(self, ids):
        pool = self.inputs.main_pool
        return self.surveys[pool.path].of(ids)[0]

    def _examples(self, pool, name):
        """Some images at random, the same each time; with boxes, and without."""
        own, survey, classes = (of[pool.path] for of in (self.pool_boxes, self.box_surveys, self.box_classes))
        random = numpy.random.default_rng(0)
        groups = []
        marked = numpy.setdiff1d(numpy.arange(pool.rows), survey.empty)
        for heading, rows, count in ((f"Images with boxes: some of {len(marked):,}, at random", marked, EXAMPLES),
                                     (f"Images without a box: some of {len(survey.empty):,}, at random", survey.empty, EMPTY_EXAMPLES)):
            if len(rows):
                chosen = numpy.sort(random.choice(rows, min(count, len(rows)), replace=False))
                groups.append((heading, self._box_cells(own, chosen, [f"row {row}" for row in chosen])))
        return sheets.contact_sheet(f"{name}-boxes", f"Images of {name} with their boxes", groups, 4, classes)

    def _box_cells(self, own, rows, names=None):
        """Cells of some rows with their boxes, and how many those are beneath; `names` come before that."""
        images, found = own.images(rows)
        cells = []
        for i, (image, one) in enumerate(zip(images, found)):
            told = f"{len(one.classes) or 'no'} {'box' if len(one.classes) == 1 else 'boxes'}"
            cells.append(sheets.Cell(image, [told if names is None else f"{names[i]}: {told}"], False, sheets.annotated(one)))
        return cells

    # What loops picked

    def _box_picks(self, run, distances):
        """The parts of a section."""
        own, survey, classes = self._main_boxes()
        measured = box_picks.measure(run.batches, own, self.surveys[self.inputs.main_pool.path])
        curves, pool = box_picks.curves_of(measured, distances), box_picks.of_pool(survey)
        rows = [(acquisition, *(style.number(box_picks._mean(values[what])) for what, _ in box_picks.PANELS))
                for acquisition, values in curves.items()]
        rows.insert(0, ("the whole pool", *(style.number(pool.get(what)) for what, _ in box_picks.PANELS)))
        series = [(f"pool {self.inputs.names[self.inputs.main_pool.path]}", survey.boxes), *box_picks.shares(measured)]
        name = f"{run.name}-picked"
        columns, by_cycle = box_picks.cycle_table(measured, survey, own.class_name)
        first = [(f"{acquisition}: its first picks", repeats[0][0][:picks.FIRST_PICKS]) for acquisition, repeats in run.batches.items()]
        return [self._picture(box_picks.chart(run.name, curves, pool, own.pixels)),
                page.table(("picked by", *(title for _, title in box_picks.PANELS)), rows, "Means over repeats and cycles."),
                self._picture(charts.class_shares(name, classes.names, series, "boxes")),
                page.folded("Classes and sizes by cycle", f"{len(by_cycle) - 1} batches, repeats together",
                            page.table(columns, by_cycle, "Sizes and classes: share of the boxes. The classes with the most boxes in "
                                       "the pool.")),
                self._sheet(self.inputs.main_pool, lambda: sheets.contact_sheet(
                    f"{run.name}-picks-images", "Images picked in the first cycle",
                    [(heading, self._box_cells(own, self._rows_of(ids), [f"id {i}" for i in ids])) for heading, ids in first], 4, classes))]

    # Detections

    def _detections(self):
        if self.inputs.detections is None:
            return
        own, _, classes = self._main_boxes()
        found, name = self.inputs.detections, self.inputs.names[self.inputs.detections.path]
        pool, survey, pool_name = self._main()
        pool.check_found(survey, found.ids, found.path)
        row_ids = pool.all_ids()
        judged = detections.judge(found, own, row_ids, self.inputs.score)
        chosen = "the score that gives the best F1 over all" if self.inputs.score is None else "as --score says"
        self._section(
            f"Detections: {name}",
            page.paragraph(f"Detections with a score of {judged.score:.3g} or more ({chosen}) against the boxes of {pool_name}: each takes, "
                           "by falling score, the free object of its class that it overlaps most, where that is half or more of their "
                           "union. Difficult objects and crowds are neither found nor missed."),
            page.table(detections.TABLE, detections.table_rows(judged, own.class_name)),
            self._picture(detections.error_chart(name, judged)),
            self._sheet(pool, detections.sheet, name, judged, found, own, row_ids, classes))
