"""The style sheet of the report: light and dark, any width, paper."""

from __future__ import annotations

from rockcore.colours import PAGE, ROCK, TEXT

STYLE = f"""
:root {{color-scheme: light dark; --page: {PAGE[0]}; --ink: {TEXT[0]}; --soft: #f1efec;
  --line: #c9c5c0; --link: #1f5f99}}
@media (prefers-color-scheme: dark) {{
  :root {{--page: {PAGE[1]}; --ink: {TEXT[1]}; --soft: #25231f; --line: #4a4641; --link: #9ecae1}}
}}
* {{box-sizing: border-box}}
body {{margin: 0; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, "DejaVu Sans", sans-serif}}
main {{max-width: 56rem; margin: 0 auto; padding: 1rem 1.25rem 4rem}}
h1 {{font-size: 1.7rem; line-height: 1.25}}
h1, h2, p, li, dd, figcaption {{overflow-wrap: anywhere}}
td, th {{overflow-wrap: break-word; max-width: 18rem}}
.n {{white-space: nowrap}}
h2 {{font-size: 1.25rem; margin: 2.5rem 0 0.5rem; padding-top: 0.75rem;
  border-top: 1px solid var(--line)}}
p {{margin: 0.5rem 0; max-width: 46rem}}
a {{color: var(--link)}}
:focus-visible {{outline: 2px solid var(--link); outline-offset: 2px}}
dl {{display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 0.9rem; margin: 0.75rem 0;
  padding: 0.5rem 0.75rem; background: var(--soft); font-size: 0.9rem}}
dt {{font-weight: 600}}
dd {{margin: 0}}
nav ol {{columns: 2 16rem; font-size: 0.95rem}}
.small, figcaption {{font-size: 0.85rem; color: color-mix(in srgb, var(--ink) 82%, var(--page))}}
.missing {{padding: 0.5rem 0.75rem; background: var(--soft); border-left: 3px solid var(--line)}}
aside {{margin: 0.75rem 0; padding: 0.25rem 0.9rem; border-left: 4px solid var(--line);
  background: var(--soft)}}
figure {{margin: 1.25rem 0}}
.wide {{overflow-x: auto}}
img {{display: block; width: 100%; min-width: 34rem; max-width: 46rem; height: auto}}
table {{border-collapse: collapse; font-size: 0.85rem; margin: 1rem 0 0.25rem;
  font-variant-numeric: tabular-nums}}
caption {{text-align: left; font-weight: 600; padding-bottom: 0.3rem}}
th, td {{text-align: right; padding: 0.2rem 0.5rem; border-bottom: 1px solid var(--line);
  vertical-align: top}}
th:first-child, td:first-child {{text-align: left}}
tbody th {{font-weight: 600; white-space: pre-wrap}}
header {{border-top: 5px solid {ROCK}}}
@page {{margin: 16mm 15mm}}
@media print {{
  :root {{color-scheme: light; --page: #fff; --ink: #000; --soft: #f4f4f4; --line: #bbb;
    --link: #000}}
  html {{font-size: 10pt}}
  .n {{white-space: normal}}
  main {{max-width: none; padding: 0}}
  nav, .save {{display: none}}
  .wide {{overflow: visible}}
  img {{min-width: 0; max-width: 178mm}}
  table {{font-size: 8.5pt; max-width: 100%}}
  th, td {{padding: 0.1rem 0.25rem}}
  h2 {{break-after: avoid}}
  figure, tr, aside, dl {{break-inside: avoid}}
}}
"""
