"""Sheets of images, with boxes drawn where there are any."""

from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, withStroke

from thresher_report import charts, style

OWN_COLOURS = len(style.COLOURS) - 1  # classes with a colour of their own; the last colour is for all others


@dataclass
class Mark:
    """A box on an image, in its pixels: edges x0 y0 x1 y1."""

    corners: tuple
    class_index: int
    dashed: bool = False
    text: str = ""


@dataclass
class Cell:
    image: object  # [H, W] or [H, W, 3], floats from 0 to 1
    lines: list  # of the caption
    framed: bool = False
    marks: tuple = ()


class Classes:
    """What classes look like on all sheets of a pool: the most frequent have a colour of their own, and every one a tag,
    so that they are told apart without colours, too."""

    def __init__(self, names, counts):
        order = sorted(range(len(names)), key=lambda c: (-counts[c], c))
        self.names = names
        self.places = {c: place for place, c in enumerate(order)}
        self.many = sum(1 for count in counts if count) > OWN_COLOURS + 1

    def colour(self, c):
        return style.COLOURS[min(self.places[c], OWN_COLOURS)]

    def is_named(self, c):
        """Whether its name stands at its boxes, for want of a colour of its own."""
        return self.many and self.places[c] >= OWN_COLOURS

    def tag(self, c):
        return self.names[c] if self.is_named(c) else str(self.places[c] + 1)

    def legend(self, marks):
        """Handles for the classes that occur; and for solid and dashed lines, where both kinds or dashed ones may."""
        own = sorted({mark.class_index for mark in marks if not self.is_named(mark.class_index)}, key=self.places.get)
        handles = [Line2D([], [], color=self.colour(c), linewidth=2.2, label=f"{self.tag(c)}  {self.names[c]}") for c in own]
        if any(self.is_named(mark.class_index) for mark in marks):
            handles.append(Line2D([], [], color=style.COLOURS[OWN_COLOURS], linewidth=2.2, label="other classes, named"))
        return handles


def _draw(axes, mark, classes, small):
    x0, y0, x1, y1 = mark.corners
    colour = classes.colour(mark.class_index)
    halo = [withStroke(linewidth=2.9, foreground="white", alpha=0.75), Normal()]
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.4,
                             linestyle=(0, (3.2, 1.8)) if mark.dashed else "-", path_effects=halo))
    text = " ".join(part for part in (classes.tag(mark.class_index), mark.text) if part)
    # Solid boxes are told at their upper left corner, dashed ones within the lower right, so that both can be read.
    place, align = ((x1, y1), ("right", "bottom")) if mark.dashed else ((x0, y0), ("left", "top"))
    axes.text(*place, text, fontsize=5.6 if small else 6.4, color="white", ha=align[0], va=align[1], clip_on=True,
              bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.7, "alpha": 0.85})


@charts.styled
def contact_sheet(name, title, groups, columns=8, classes=None, caption=""):
    """groups: (heading, [Cell]). classes: Classes, where cells have marks; their legend stands on top."""
    cell_width = charts.WIDTH / columns
    cells = [cell for _, group in groups for cell in group]
    marks = [mark for cell in cells for mark in cell.marks]
    tallest = max(cell.image.shape[0] / cell.image.shape[1] for cell in cells)
    image_height, line_height, heading = cell_width * 0.92 * min(1.0, max(0.3, tallest)), 0.17, 0.36
    legend = classes.legend(marks) if classes is not None and marks else []
    if any(mark.dashed for mark in marks):
        legend += [Line2D([], [], color=style.INK, linewidth=1.6, label="solid: annotated"),
                   Line2D([], [], color=style.INK, linewidth=1.6, linestyle=(0, (3.2, 1.8)), label="dashed: detected, with score")]
    legend_rows = -(-len(legend) // 4)
    rows = [-(-len(group) // columns) for _, group in groups]
    cell_heights = [image_height + max(len(cell.lines) for cell in group) * line_height + 0.18 for _, group in groups]
    height = sum(heading + count * cell_height for count, cell_height in zip(rows, cell_heights)) + 0.24 * legend_rows
    figure = Figure(figsize=(charts.WIDTH, height))
    top = height
    if legend:
        figure.legend(handles=legend, loc="upper left", ncols=4, bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
        top -= 0.24 * legend_rows
    most = 144 // columns
    for (text, group), count, cell_height in zip(groups, rows, cell_heights):
        figure.text(0.006, (top - 0.08) / height, text, fontsize=11, fontweight="bold", va="top")
        top -= heading
        for index, cell in enumerate(group):
            left = (index % columns + 0.04) * cell_width
            bottom = top - (index // columns) * cell_height - image_height
            axes = figure.add_axes((left / charts.WIDTH, bottom / height, 0.92 * cell_width / charts.WIDTH, image_height / height))
            _show(axes, cell)
            small = len(cell.marks) > 12
            for mark in cell.marks:
                _draw(axes, mark, classes, small)
            for number, line in enumerate(cell.lines):
                figure.text((left + 0.46 * cell_width) / charts.WIDTH, (bottom - 0.05 - number * line_height) / height,
                            line if len(line) <= most else line[:most - 1] + "…", ha="center", va="top",
                            fontsize=9.0 if number == 0 else 8.4,
                            color=style.SOFT if number == 1 and len(cell.lines) == 2 else style.INK)
        top -= count * cell_height
    told = [f"{text}: " + "; ".join(", ".join(cell.lines) for cell in group) for text, group in groups]
    return charts._finish(figure, name, f"{title}. " + ". ".join(told) + ".", caption)


def _show(axes, cell):
    height, width = cell.image.shape[:2]
    axes.imshow(cell.image, cmap="gray", vmin=0.0, vmax=1.0, aspect="equal", extent=(0, width, height, 0),
                interpolation="nearest" if max(height, width) <= 128 else "antialiased")
    axes.set_anchor("S")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(style.COLOURS[1] if cell.framed else "#9aa5b1")
        spine.set_linewidth(2.4 if cell.framed else 0.6)
