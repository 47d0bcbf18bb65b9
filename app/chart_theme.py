"""Streamlit's colours for Plotly's figures. Streamlit teaches them where it is loaded with Plotly,
and `serve` has it loaded without, as a text is drawn without.
"""

from __future__ import annotations

from streamlit.elements.lib.streamlit_plotly_theme import configure_streamlit_plotly_theme


def teach() -> None:
    """Make Streamlit's template Plotly's own. Again does nothing more."""
    configure_streamlit_plotly_theme()
