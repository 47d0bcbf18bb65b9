"""Logs that lie in a store: what its package is told, and what is said where it is missing or
refuses.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.config import conf
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from planted import Plan as Planted
from planted import write

from rockcore.rocks import RockRule
from rockcore.scale.errors import BadScan
from rockcore.scale.plan import plan

RULE = RockRule()


class Bucket(MemoryFileSystem):
    """Stands for a store that wants to know who asks."""

    protocol = "s3"
    store, pseudo_dirs = {}, [""]  # noqa: RUF012
    cachable = False

    def __init__(self, profile: str = "", **options: Any):
        super().__init__(**options)
        self.profile = profile

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return f"/{path.removeprefix('s3://').strip('/')}"

    def unstrip_protocol(self, name: str) -> str:
        return f"s3:/{name}"

    def open(self, path: str, *args: Any, **options: Any) -> Any:
        if self.profile != "reader":
            raise PermissionError("Access Denied")
        return super().open(path, *args, **options)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    write(tmp_path / "log", Planted(3_000, 100, rocks=4, learned=2, tokens_per_rollout=150, seed=1))
    monkeypatch.setitem(_registry, "s3", Bucket)
    Bucket(profile="reader").put(str(tmp_path / "log"), "/bucket/log", recursive=True)
    yield "s3://bucket/log"
    Bucket.store.clear()


def test_the_configuration_of_fsspec_reaches_the_store(
    bucket: str, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(BadScan) as raised:
        plan(bucket, RULE)
    found, why, todo = raised.value.parts
    assert "Access Denied" in found and "credentials" in why and "FSSPEC_S3_KEY" in todo
    monkeypatch.setitem(conf, "s3", {"profile": "reader"})
    assert plan(bucket, RULE).rows == 3_000
    assert len(plan("s3://bucket/*", RULE).shards) == 1


def test_a_profile_in_the_environment_is_read_by_workers_too(monkeypatch: pytest.MonkeyPatch):
    found: dict[str, Any] = {}
    monkeypatch.setenv("FSSPEC_S3_PROFILE", "reader")
    fsspec.config.set_conf_env(found)
    assert found["s3"] == {"profile": "reader"}


@pytest.mark.parametrize(("address", "package"), [("s3://a/b", "s3fs"), ("gs://a/b", "gcsfs")])
def test_a_package_that_is_missing_is_named(
    address: str, package: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadScan) as raised:
        plan(address, RULE)
    found, why, todo = raised.value.parts
    assert address in found and "fsspec" in why and f"{package} for {address[:5]}" in todo
