"""Threshold lab: the filter of the rule as a file for a trainer."""

from __future__ import annotations

from rockcore.exporters import EXPORTERS
from rockcore.log import sample_runs

LENIENT = "lenient;gamma=0.125;tau_quantile=0.5;top_k=5"  # finds rocks in drawn numbers too


def test_the_lab_offers_every_format_with_what_to_know_about_it(open_app, tiny_run):
    app = open_app("threshold_lab", tiny_run(), rule=LENIENT)
    [format_] = [box for box in app.selectbox if box.label == "Format"]
    assert [option.split(":")[0] for option in format_.options] == list(EXPORTERS)
    shown = {}
    for name in ("ids", "prime-rl"):
        [format_] = [box for box in app.selectbox if box.label == "Format"]
        format_.set_value(name).run()
        assert not app.exception
        shown[name] = " ".join(w.value for w in app.warning)
        assert any("rockcore export" in c.value and f"--to {name}" in c.value for c in app.code)
    assert "the token read" in shown["ids"] and "divides by" in shown["prime-rl"]
    labels = [b.proto.label for b in app.get("download_button")]
    assert labels == ["Mask of every position (Parquet)", "Token ids (JSON)", "Download"]


def test_what_a_format_lacks_is_said_in_words(open_app, tiny_run):
    app = open_app("threshold_lab", tiny_run(), rule=f'{LENIENT};column="sampled_loss"')
    [format_] = [box for box in app.selectbox if box.label == "Format"]
    format_.set_value("rock-vs-control").run()
    assert not app.exception
    assert any("Set column to kl" in text.value for text in app.text)


def test_without_a_set_the_lab_says_that_there_is_no_filter(open_app):
    app = open_app("threshold_lab", sample_runs() / "skill")
    assert not app.exception and "Take this filter to a trainer" in [s.value for s in app.subheader]
    assert any("no filter to take" in text.value for text in app.text)
    assert not [box for box in app.selectbox if box.label == "Format"]
