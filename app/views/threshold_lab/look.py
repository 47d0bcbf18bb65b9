"""How the lab stands on a screen: what a hand moves and what it moves it for, in one picture that
stays while the page below it scrolls.
"""

from __future__ import annotations

from app.components.colours import PAGE, themed

BENCH = "lab-bench"  # keys of containers, which Streamlit makes classes
HEAD = "lab-head"
TEXT = "lab-text"
GATES = "lab-gates"
MARKED = "lab-marked"

_PAGE = themed(PAGE)
# A picture is only held where it leaves room for what is held against it.
STYLE = f"""
.stMainBlockContainer {{padding-left: 2rem; padding-right: 2rem}}
.st-key-{HEAD} h1 {{font-size: 1.6rem; padding: 0; white-space: nowrap}}
.st-key-{BENCH} {{background: {_PAGE}; padding: 0.5rem 0; gap: 0.5rem}}
.st-key-{BENCH} [data-testid=stMetric] {{min-height: 4.1rem}}
.st-key-{BENCH} [data-testid=stMetricLabel] * {{font-size: 0.75rem; line-height: 1.2}}
.st-key-{BENCH} [data-testid=stMetricValue] {{font-size: 1.25rem; line-height: 1.3; padding: 0}}
.st-key-{BENCH} [data-testid=stMetricValue] * {{line-height: 1.3}}
.st-key-{BENCH} [data-testid=stMetricDelta] {{font-size: 0.75rem}}
.st-key-{GATES} .stVerticalBlock {{gap: 0.25rem}}
.st-key-{GATES} .stHorizontalBlock {{gap: 0.5rem}}
.st-key-{MARKED} {{outline: 3px solid currentColor; outline-offset: 4px; border-radius: 0.5rem}}
@media (max-width: 640px) {{
  .st-key-{BENCH} [data-testid=stColumn] {{flex: 1 1 100% !important; min-width: 100% !important}}
  .st-key-{HEAD} {{gap: 0.5rem}}
}}
@media (min-width: 1100px) and (min-height: 720px) {{
  [data-testid=stLayoutWrapper]:has(> .st-key-{BENCH}) {{
    position: sticky; top: 0; z-index: 90; background: {_PAGE};
    border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  }}
}}
"""
