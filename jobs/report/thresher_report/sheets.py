"""Sheets of images, with boxes drawn where there are any."""

from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, withStroke

from thresher_report import charts, style
from thresher_report.boxes import CROWD

DASHES = (0, (3.2, 1.6))
OWN_COLOURS = len(style.COLOURS) - 1  # classes with a colour of their own; the last colour is for all others


@dataclass
class Mark:
    """A box on an image, in its pixels: edges x0 y0 x1 y1."""

    corners: tuple
    class_index: int
    dashed: bool = False
    text: str = ""
    is_faint: bool = False  # thin, without the tag of its class


@dataclass
class Cell:
    image: object  # [H, W] or [H, W, 3], floats from 0 to 1
    lines: list  # of the caption
    framed: bool = False
    marks: tuple = ()


def annotated(boxes, faint=()):
    """Marks of thresher_report.boxes.RowBoxes; `faint` [n] says which of them are."""
    return tuple(Mark(tuple(corners), int(c), text="crowd" if flags & CROWD else "difficult" if flags else "",
                      is_faint=bool(len(faint) and faint[i]))
                 for i, (corners, c, flags) in enumerate(zip(boxes.corners, boxes.classes, boxes.flags)))


class Classes:
    """What classes look like on all sheets of a pool: the most frequent have a colour of their own, and every one a tag,
    so that they are told apart without colours, too."""

    def __init__(self, names, counts):
        order = sorted(range(len(names)), key=lambda c: (-counts[c], c))
        self.names = names
        self.places = {c: place for place, c in enumerate(order)}
        self.many = sum(1 for count in counts if count) > len(style.COLOURS)
        self.are_short = max((len(names[c]) for c in order[:len(style.COLOURS)]), default=0) <= 2

    def colour(self, c):
        return style.COLOURS[min(self.places[c], OWN_COLOURS)]

    def is_named(self, c):
        """Whether its name stands at its boxes, for want of a colour of its own."""
        return self.many and self.places[c] >= OWN_COLOURS

    def tag(self, c):
        return self.names[c] if self.is_named(c) or self.are_short else "ABCDEF"[self.places[c]]

    def legend(self, marks):
        """Handles for the classes that occur."""
        own = sorted({mark.class_index for mark in marks if not self.is_named(mark.class_index)}, key=self.places.get)
        handles = [Line2D([], [], color=self.colour(c), linewidth=2.2,
                          label=self.names[c] if self.are_short else f"{self.tag(c)}  {self.names[c]}") for c in own]
        if any(self.is_named(mark.class_index) for mark in marks):
            handles.append(Line2D([], [], color=style.COLOURS[OWN_COLOURS], linewidth=2.2, label="other classes, named"))
        return handles


def _draw(axes, mark, classes, height, small):
    x0, y0, x1, y1 = mark.corners
    colour, width = classes.colour(mark.class_index), 0.8 if mark.is_faint else 1.6
    halo = [withStroke(linewidth=width + 1.4, foreground="white", alpha=0.75), Normal()]
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=width,
                             linestyle=DASHES if mark.dashed else "-", path_effects=halo))
    text = ": ".join(part for part in ("" if mark.is_faint else classes.tag(mark.class_index), mark.text) if part)
    if not text:
        return
    # Solid boxes are told at their upper left corner, above where they are low; dashed ones within the lower right.
    is_low = y1 - y0 < 0.15 * height and y0 > 0.07 * height
    place, align = ((x1, y1), ("right", "bottom")) if mark.dashed else ((x0, y0), ("left", "bottom" if is_low else "top"))
    axes.text(*place, text, fontsize=5.4 if small else 6.2, color="white", ha=align[0], va=align[1], clip_on=True,
              bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.6, "alpha": 0.6 if mark.is_faint else 0.9})


def _by_rows(handles, columns):
    """In the order in which a legend, which fills columns first, shows them row by row."""
    rows = -(-len(handles) // columns)
    full = len(handles) % columns or columns  # columns with as many handles as there are rows
    order = []
    for column in range(columns):
        count = rows if column < full else rows - 1
        order += [handles[row * columns + column] for row in range(count)]
    return order


@charts.styled
def contact_sheet(name, title, groups, columns=8, classes=None, caption=""):
    """groups: (heading, [Cell]). classes: Classes, where cells have marks; their legend stands on top."""
    cell_width = charts.WIDTH / columns
    cells = [cell for _, group in groups for cell in group]
    marks = [mark for cell in cells for mark in cell.marks]
    line_height, heading, legend_columns = 0.17, 0.36, 5
    legend = classes.legend(marks) if classes is not None and marks else []
    if any(mark.dashed for mark in marks):
        legend += [Line2D([], [], color=style.INK, linewidth=1.6, label="solid: annotated"),
                   Line2D([], [], color=style.INK, linewidth=1.6, linestyle=DASHES, label="dashed: detected, with score")]
    legend_height = 0.24 * -(-len(legend) // legend_columns)

    def rows_of(group):
        """(cells, height of the images, height with captions) of each row."""
        for begin in range(0, len(group), columns):
            row = group[begin:begin + columns]
            tallest = max(cell.image.shape[0] / cell.image.shape[1] for cell in row)
            images = cell_width * 0.92 * min(1.0, max(0.3, tallest))
            yield row, images, images + max(len(cell.lines) for cell in row) * line_height + 0.18

    height = legend_height + sum(heading + sum(whole for _, _, whole in rows_of(group)) for _, group in groups)
    figure = Figure(figsize=(charts.WIDTH, height))
    if legend:
        figure.legend(handles=_by_rows(legend, min(legend_columns, len(legend))), loc="upper left", ncols=legend_columns,
                      bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
    top, most = height - legend_height, 144 // columns
    for text, group in groups:
        figure.text(0.006, (top - 0.08) / height, text, fontsize=11, fontweight="bold", va="top")
        top -= heading
        for row, image_height, whole in rows_of(group):
            for place, cell in enumerate(row):
                left, bottom = (place + 0.04) * cell_width, top - image_height
                axes = figure.add_axes((left / charts.WIDTH, bottom / height, 0.92 * cell_width / charts.WIDTH, image_height / height))
                _show(axes, cell)
                for mark in sorted(cell.marks, key=lambda mark: not mark.is_faint):
                    _draw(axes, mark, classes, cell.image.shape[0], len(cell.marks) > 12)
                for number, line in enumerate(cell.lines):
                    figure.text((left + 0.46 * cell_width) / charts.WIDTH, (bottom - 0.05 - number * line_height) / height,
                                line if len(line) <= most else line[:most - 1] + "…", ha="center", va="top",
                                fontsize=9.0 if number == 0 else 8.4,
                                color=style.SOFT if number == 1 and len(cell.lines) == 2 else style.INK)
            top -= whole
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
