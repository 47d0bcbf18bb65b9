"""The one limit of memory, read from the environment."""

from __future__ import annotations

import os

import pytest

from rockcore import memory


@pytest.mark.parametrize(
    ("said", "size"),
    [("8GB", 8 * 10**9), ("512 MiB", 512 * 2**20), ("0.5t", 5 * 10**11), ("100000000", 10**8)],
)
def test_a_limit_is_read_with_its_unit(monkeypatch, said, size):
    monkeypatch.setenv(memory.SETTING, said)
    assert memory.limit() == size


def test_a_limit_of_the_command_line_goes_to_the_processes_it_starts(monkeypatch):
    monkeypatch.setenv(memory.SETTING, "1GB")
    memory.take("2GB")
    assert memory.limit() == 2 * 10**9 and os.environ[memory.SETTING] == "2GB"


@pytest.mark.parametrize("said", ["much", "-1GB", "8 elephants", "GB", "1KB", "0"])
def test_what_is_no_limit_is_refused_in_three_parts(monkeypatch, said):
    monkeypatch.setenv(memory.SETTING, said)
    with pytest.raises(memory.BadMemory) as refused:
        memory.limit()
    assert len(refused.value.parts) == 3 and repr(said) in refused.value.parts[0]


def test_a_container_with_less_than_the_machine_sets_the_limit(monkeypatch, tmp_path):
    allowed = tmp_path / "memory.max"
    monkeypatch.delenv(memory.SETTING, raising=False)
    monkeypatch.setattr(memory, "_CGROUPS", (str(allowed), str(tmp_path / "none")))
    allowed.write_text("max\n")
    free = memory.limit()
    allowed.write_text(f"{200 * 2**20}\n")
    assert memory.limit() == 100 * 2**20 < free


def test_blocks_shrink_with_the_limit(monkeypatch):
    sizes = []
    for said in ("64MiB", "1GB", "4GB", "1TB", "2TB"):
        monkeypatch.setenv(memory.SETTING, said)
        sizes.append(memory.block())
    assert sizes == sorted(sizes) and sizes[0] < sizes[1] < sizes[2] and sizes[3] == sizes[4]
