"""What the documents and the mappings of the formats say of each other."""

import re
from pathlib import Path

import pytest

from rockcore.importers import IMPORTERS, BadExport, Format, format_named
from rockcore.importers.format import COLUMNS, OF_TOKENS

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
FORMATS = [format_named(name) for name in IMPORTERS]


def named(format: Format) -> str:
    return format.name


def table() -> list[list[str]]:
    text = README[README.index("### Import a log") :]
    rows = text[text.index("\n| format |") :].split("\n\n")[0].strip().splitlines()
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def test_the_readme_has_each_format_with_the_columns_that_it_fills_and_no_other():
    told = {row[0].strip("`"): (row[1], re.findall(r"`(\w+)`", row[2])) for row in table()}
    known = {f.name: (f.title, list(dict.fromkeys(x.column for x in f.fields))) for f in FORMATS}
    assert told == known and list(told) == list(IMPORTERS)


@pytest.mark.parametrize("format", FORMATS, ids=named)
def test_a_mapping_fills_columns_of_ours(format: Format):
    assert IMPORTERS[format.name] and format.title and format.patterns
    for field in format.fields:
        assert field.column in COLUMNS and field.sign in (1, -1)
        if field.column not in OF_TOKENS:
            assert (field.shift, field.sign, field.whole) == (0, 1, False)


def test_a_format_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(BadExport, match=", ".join(IMPORTERS)):
        format_named("wandb")


@pytest.mark.parametrize("format", FORMATS, ids=named)
def test_a_map_to_no_column_is_refused(format: Format):
    with pytest.raises(BadExport, match="fills the columns"):
        format.mapping({"loss": "x"})
