"""What the report says of runs: loops and what they picked, games, training, policies, ledgers."""

import numpy

from thresher_report import charts, games, influence, page, picks, policy, published, roles, runs, sheets, style


class RunSections:
    """The part of the report for runs; `inputs`, `surveys` and the rest are content._Report's."""

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
                tell = style.percent if style.is_share(name) else style.number
                best = numpy.nan if not numpy.isfinite(curve).any() else (numpy.nanmin if name.endswith("loss") else numpy.nanmax)(curve)
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
            first = [(f"{acquisition}: its first picks", repeats[0][0][:picks.FIRST_PICKS]) for acquisition, repeats in run.batches.items()]
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


def _with_spread(mean, spread, digits, unit=""):
    if not numpy.isfinite(mean):
        return "–"
    text = f"{mean:.{digits}f}"
    if numpy.isfinite(spread):
        text += f" ± {spread:.{digits}f}"
    return text + unit
