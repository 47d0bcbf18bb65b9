"""On-policy distillation in one picture: who writes, who judges, and what goes back. Of boxes and
text, so that it follows the theme and folds on a phone.
"""

from __future__ import annotations

from app.components import colours
from app.components.colours import legible, themed

STUDENT, TEACHER, KL = (
    themed(legible(each)) for each in (colours.STUDENT, colours.TEACHER, colours.KL)
)

_WORDS = ("So", "12", "+", "30", "=", "42")
_KL = (30, 3, 2, 4, 2, 9)  # pixels, for the picture alone: no run says so
_CENTRED = "display:flex;align-items:center;justify-content:center;"


def _box(colour: str, title: str, below: str) -> str:
    return (
        f'<div style="border:3px solid {colour};border-radius:8px;padding:.5rem 1rem;'
        f'text-align:center"><b style="color:{colour}">{title}</b><br>{below}</div>'
    )


def _arrow(colour: str, way: str, says: str) -> str:
    return (
        f'<div style="text-align:center;color:{colour}"><span style="font-size:.8rem">{says}'
        f'</span><br><span style="font-size:1.6rem;line-height:1">{way}</span></div>'
    )


def _token(word: str, kl: int) -> str:
    return (
        '<div style="display:flex;flex-direction:column;align-items:center;'
        'justify-content:flex-end;gap:3px">'
        f'<div style="width:1.4rem;height:{kl}px;background:{KL}"></div>'
        '<div style="border:1px solid currentColor;border-radius:4px;padding:0 .4rem;'
        f'font-family:monospace">{word}</div></div>'
    )


def as_html() -> str:
    """The picture; the colours are those of the prose."""
    tokens = "".join(_token(word, kl) for word, kl in zip(_WORDS, _KL, strict=True))
    text = (
        f'<div><div style="{_CENTRED}gap:.3rem;align-items:flex-end">{tokens}</div>'
        f'<div style="text-align:center;font-size:.9rem">the text, and the <b style="color:{KL}">'
        "KL</b> of each token</div></div>"
    )
    return (
        f'<div style="{_CENTRED}flex-wrap:wrap;gap:.8rem;padding:.5rem 0;max-width:46rem">'
        f"{_box(STUDENT, 'student', 'writes')}{_arrow(STUDENT, '→', 'samples')}{text}"
        f"{_arrow(TEACHER, '←', 'predicts too')}{_box(TEACHER, 'teacher', 'reads')}"
        f'<div style="flex-basis:100%;text-align:center;color:{KL}">↩ the KL goes back: the '
        "student learns from it</div></div>"
    )
