"""The HTML page: one file, no scripts, no fonts or pictures from elsewhere, light and printable."""

import base64
import html
from dataclasses import dataclass, field

STYLE = """
:root { --ink: #1f2933; --soft: #52606d; --line: #dde3ea; --paper: #ffffff; --tint: #f5f7fa; --accent: #0072b2; }
* { box-sizing: border-box; }
html { color-scheme: light; scroll-behavior: smooth; }
body { margin: 0; background: var(--tint); color: var(--ink);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 0 0 .5rem; letter-spacing: -.005em; }
h3 { font-size: 1.02rem; margin: 1.6rem 0 .4rem; }
p { margin: .4rem 0; max-width: 75ch; }
a { color: var(--accent); }
.lead, figcaption, .note { color: var(--soft); }
nav ul { list-style: none; padding: 0; margin: 1rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 1.4rem 1.5rem;
          margin-top: 1.25rem; }
.facts { list-style: none; margin: 1.25rem 0 0; padding: 0; display: grid; gap: .8rem;
         grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); }
.facts li { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem; }
.facts b { display: block; font-size: 1.45rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.facts span { color: var(--soft); font-size: .9rem; line-height: 1.35; display: block; }
figure { margin: 1rem 0 .6rem; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { font-size: .9rem; margin-top: .25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .8rem 0; font-size: .93rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .3rem; }
th, td { text-align: right; padding: .32rem .9rem .32rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
.words td, .words th { vertical-align: top; white-space: normal; overflow-wrap: anywhere; }
.words th { white-space: nowrap; font-weight: 600; }
thead th { border-bottom: 2px solid #9aa5b1; }
details { margin-top: .8rem; }
summary { cursor: pointer; font-weight: 600; }
summary .note { font-weight: 400; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; overflow-x: auto;
      font: .82rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre-wrap; }
footer { color: var(--soft); font-size: .88rem; margin-top: 1.5rem; }
@media print {
  body { background: none; font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  section { border: 0; padding: 0; margin-top: 1.4rem; }
  section > h2, h3 { break-after: avoid; }
  figure, .facts li, tr { break-inside: avoid; }
  details::details-content { content-visibility: visible; display: block; }
}
"""


def escape(text):
    return html.escape(str(text), quote=True)


def paragraph(text, kind=""):
    mark = f' class="{kind}"' if kind else ""
    return f"<p{mark}>{escape(text)}</p>"


def heading(text):
    return f"<h3>{escape(text)}</h3>"


def table(columns, rows, caption=""):
    """The first column is the row's name."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(
        '<tr><th scope="row">' + escape(row[0]) + "</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>" for row in rows)
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{told}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def attribute_table(pairs):
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in pairs)
    return f'<div class="scroll"><table class="words"><tbody>{body}</tbody></table></div>'


def folded(title, note, inner):
    return f'<details><summary>{escape(title)} <span class="note">{escape(note)}</span></summary>{inner}</details>'


def preformatted(text):
    return f"<pre>{escape(text)}</pre>"


def picture(chart):
    data = base64.b64encode(chart.png).decode("ascii")
    told = f"<figcaption>{escape(chart.caption)}</figcaption>" if chart.caption else ""
    return (f'<figure><img src="data:image/png;base64,{data}" alt="{escape(chart.alt)}" '
            f'width="{round(chart.width * 100)}">{told}</figure>')


@dataclass
class Section:
    title: str
    parts: list = field(default_factory=list)  # HTML


@dataclass
class Page:
    lead: str
    footer: str
    facts: list = field(default_factory=list)  # (value, what it is)
    sections: list = field(default_factory=list)

    def html(self):
        facts = "".join(f"<li><b>{escape(value)}</b><span>{escape(told)}</span></li>" for value, told in self.facts)
        ids = [f"part-{number}" for number in range(1, len(self.sections) + 1)]
        links = "".join(f'<li><a href="#{name}">{escape(section.title)}</a></li>'
                        for name, section in zip(ids, self.sections))
        sections = "\n".join(
            f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{escape(section.title)}</h2>\n'
            + "\n".join(section.parts) + "</section>" for name, section in zip(ids, self.sections))
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Thresher report</title>\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<header><h1>Thresher report</h1>\n"
            + paragraph(self.lead, "lead") + (f'\n<ul class="facts">{facts}</ul>' if facts else "")
            + f'\n<nav aria-label="Parts of this report"><ul>{links}</ul></nav></header>\n{sections}\n'
            f"<footer>{escape(self.footer)}</footer>\n</main>\n</body>\n</html>\n")
