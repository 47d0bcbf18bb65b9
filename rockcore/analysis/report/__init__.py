"""The report of a run: the paper's analyses on one's own run, as one file.

`parts` says what each analysis found, by the functions that the pages ask; `figures` and `drawing`
draw it; `document` writes it all as one HTML file that needs no network.
"""

from rockcore.analysis.report.asked import Asked
from rockcore.analysis.report.document import write_report
from rockcore.analysis.report.made import Figure, Found, Part, Table
from rockcore.analysis.report.parts import PARTS, make_part, make_report

__all__ = [
    "PARTS",
    "Asked",
    "Figure",
    "Found",
    "Part",
    "Table",
    "make_part",
    "make_report",
    "write_report",
]
