"""The report as one HTML file: no script, no network, at most 5 MB, for a screen of any width in
light or dark, and for paper. Everything that comes from a log is escaped here and nowhere else.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from typing import NamedTuple
from urllib.parse import quote, urlencode

from rockcore.analysis.report.asked import Asked
from rockcore.analysis.report.made import FACTS, Figure, Found, Part, Table
from rockcore.analysis.report.style import STYLE
from rockcore.log.notes import Note, Notes
from rockcore.schema import RunMeta
from rockcore.spelling import printable

MOST_BYTES = 5 * 10**6
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
_AT_ROOT = "overview"  # the page without a name in its address
_OF_NUMBERS = frozenset("0123456789+−–")
_OF_PAGES = {  # in which part a note on a page stands; any other stands at the end
    "overview": "share",
    "rock_tokens": "funnel",
    "token": "funnel",
    "threshold_lab": "cutoff",
    "gradients": "gradient",
    "steps": "change",
    "knockout": "knockouts",
    "arms": "arms",
}


class _About(NamedTuple):
    """What the report is of."""

    meta: RunMeta
    run: str  # as the dashboard names it
    rule: str
    fingerprint: str
    address: str  # of the dashboard


def write_report(
    asked: Asked, parts: Sequence[Part], address: str, made: datetime | None = None
) -> str:
    """The file's text. `address`: of the dashboard that its links open, such as
    http://localhost:8501; `made`: when, now by default.

    Images that can be saved take most of it: where it would be larger than MOST_BYTES, those as PNG
    are left out and the report says so.
    """
    run, rule = asked.run, asked.examined.rule
    about = _About(run.meta, run.path.resolve().name, rule.short(), run.fingerprint(), address)
    made = made or datetime.now(timezone.utc)
    whole = _document(about, parts, asked.notes, made, with_png=True)
    if len(whole.encode()) <= MOST_BYTES:
        return whole
    return _document(about, parts, asked.notes, made, with_png=False)


def _document(
    about: _About, parts: Sequence[Part], notes: Notes, made: datetime, with_png: bool
) -> str:
    placed = {
        part.key: [n for n in notes.found if _OF_PAGES.get(n.page) == part.key] for part in parts
    }
    rest = [n for n in notes.found if not any(n in held for held in placed.values())]
    body = [
        _head(about, made),
        _contents(parts),
        *(_part(about, part, placed[part.key], with_png) for part in parts),
        _notes(about, rest, notes),
    ]
    title = _text(f"Rock Tokens of {about.meta.name}")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" '
        f'content="light dark">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n<main>\n{''.join(body)}</main>\n</body>\n</html>\n"
    )


def _text(said: str) -> str:
    """Text of a log as it is, with nothing in it that HTML, or the order of reading, obeys."""
    return escape(printable(said))


def link(about: _About, page: str, values: Mapping[str, str]) -> str:
    """The address that opens a page of the dashboard on this run as it is said of here."""
    asked = {"run": about.run, **{name: text for name, text in values.items() if text}}
    return f"{about.address}/{quote('' if page == _AT_ROOT else page)}?{urlencode(asked)}"


def _anchor(about: _About, page: str, values: Mapping[str, str], label: str) -> str:
    return f'<a href="{escape(link(about, page, values))}">{_text(label)}</a>'


def _head(about: _About, made: datetime) -> str:
    at = made.strftime("%Y-%m-%d %H:%M UTC")
    told = {
        "Rule": about.rule,
        "Run": f"{about.meta.name}, fingerprint {about.fingerprint}",
        "Made": at,
        "Log": f"written by version {about.meta.code_version or 'unknown'}",
    }
    links = (
        f"Links open a dashboard at {about.address}, where it is running with this run: "
        "rockcore app RUN."
    )
    return (
        f"<header>\n<h1>Rock Tokens of {_text(about.meta.name)}</h1>\n{_list(told)}"
        f"<p class=small>{_text(links)}</p>\n</header>\n"
    )


def _list(told: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in told.items() if v)
    return f"<dl>{rows}</dl>\n"


def _contents(parts: Sequence[Part]) -> str:
    items = "".join(
        f'<li><a href="#{p.key}">{_text(p.title)}</a>{" (missing)" * (p.found is None)}</li>'
        for p in parts
    )
    return f'<nav aria-label="Contents"><ol>{items}<li><a href="#notes">Notes</a></li></ol></nav>\n'


def _part(about: _About, part: Part, notes: Sequence[Note], with_png: bool) -> str:
    if part.found is None:
        inside = f"<p class=missing>Missing: {_text(part.missing)}</p>\n"
    else:
        inside = _found(about, part.page, part.found, with_png)
    return (
        f'<section aria-labelledby="{part.key}">\n<h2 id="{part.key}">{_text(part.title)}</h2>\n'
        f"{inside}{''.join(_note(about, note) for note in notes)}</section>\n"
    )


def _found(about: _About, page: str, found: Found, with_png: bool) -> str:
    told = {name: found.facts.get(name, "") for name in FACTS}
    said = "".join(f"<p>{_text(sentence)}</p>\n" for sentence in found.said)
    drawn = "".join(_figure(figure, with_png) for figure in found.figures)
    tables = "".join(map(_table, found.tables))
    opened = _anchor(about, page, found.values, "Open this in the dashboard")
    return f"{said}{_list(told)}<p class=small>{opened}</p>\n{drawn}{tables}"


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{_text(head)}</th>' for head in table.heads)
    rows = "".join(
        f'<tr><th scope="row">{_text(row[0])}</th>' + "".join(map(_cell, row[1:])) + "</tr>\n"
        for row in table.rows
    )
    label = escape(printable(table.caption))
    return (
        f'<div class=wide tabindex=0 role=region aria-label="{label}"><table>\n'
        f"<caption>{_text(table.caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>{rows}</tbody>\n</table></div>\n"
    )


def _cell(said: str) -> str:
    """Numbers and intervals stay on one line."""
    kind = " class=n" if said[:1] in _OF_NUMBERS else ""
    return f"<td{kind}>{_text(said)}</td>"


def _figure(figure: Figure, with_png: bool) -> str:
    svg = _data("image/svg+xml", figure.svg.encode())
    saved = f'<a href="{svg}" download="{figure.name}.svg">{figure.name}.svg</a>'
    if with_png:
        png = _data("image/png", figure.png)
        saved += f', <a href="{png}" download="{figure.name}.png">{figure.name}.png</a>'
    else:
        saved += "; as PNG: rockcore report --figures DIR"
    alt = escape(printable(figure.alt))
    return (
        f'<figure><div class=wide tabindex=0 role=region aria-label="{alt}">'
        f'<img src="{svg}" alt="{alt}"></div>\n'
        f"<figcaption>{_text(figure.alt)}. <span class=save>Save: {saved}</span></figcaption>"
        "</figure>\n"
    )


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _note(about: _About, note: Note) -> str:
    at = note.written[:16].replace("T", " ")
    opened = _anchor(about, note.page, note.values, "Open it")
    lines = "<br>".join(_text(line) for line in note.text.splitlines())
    return (
        f"<aside><p><strong>Note on {_text(note.about)}</strong> "
        f"<span class=small>{_text(note.kind)}, {_text(at)} UTC · {opened}</span></p>"
        f"<p>{lines}</p></aside>\n"
    )


def _notes(about: _About, rest: Sequence[Note], notes: Notes) -> str:
    """The notes on what no part shows, and what lies among them that is none."""
    total = len(notes.found)
    if not total:
        said = "No reader has pinned anything in this run. “Pin” in the dashboard keeps a note."
    elif rest:
        said = f"{len(rest)} of {total} notes; the others stand in the parts that they are on."
    else:
        said = f"All {total} notes stand in the parts that they are on."
    unread = "".join(f"<p class=missing>Not read: {_text(line)}</p>\n" for line in notes.unread)
    return (
        f'<section aria-labelledby="notes">\n<h2 id="notes">Notes</h2>\n<p>{_text(said)}</p>\n'
        f"{''.join(_note(about, note) for note in rest)}{unread}</section>\n"
    )
