"""Logs that lie in a store: what its package is told, and what is said where it is missing or
refuses.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.config import conf, set_conf_env
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from fsspec.registry import _registry
from planted import Plan as Planted
from planted import write

from rockcore.rocks import RockRule
from rockcore.scale.errors import BadScan
from rockcore.scale.plan import plan
from rockcore.scale.shard import read
from rockcore.schema import DamagedRun, RunNotFound

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
    Bucket.pseudo_dirs[:] = [""]


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
    set_conf_env(found)
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


class ClientError(Exception):
    """As of a package that nobody here imports."""


class Answering(ClientError, OSError):
    """One that is also one of Python's."""


@pytest.mark.parametrize("call", ["open", "read", "ls", "info", "glob"])
@pytest.mark.parametrize(
    "error", [ClientError("403 Forbidden"), Answering("503"), OSError(5, "EIO"), TimeoutError()]
)
def test_whatever_a_package_raises_is_said_in_three_parts(
    bucket: str, monkeypatch: pytest.MonkeyPatch, call: str, error: Exception
):
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setitem(conf, "s3", {"profile": "reader"})
    if call == "read":
        monkeypatch.setattr(MemoryFile, "read", refuse)
    else:
        monkeypatch.setattr(Bucket, call, refuse)
    with pytest.raises(BadScan) as raised:
        plan("s3://bucket/*" if call == "glob" else bucket, RULE)
    found, why, todo = raised.value.parts
    assert "bucket" in found and "credentials" in why and "AWS_PROFILE" in todo
    assert (str(error) or "TimeoutError") in found
    assert isinstance(error, ClientError) == (f"test_stores.{type(error).__name__}" in found)


def test_arrow_tells_what_a_store_answers_from_what_is_wrong_with_the_bytes(
    bucket: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(conf, "s3", {"profile": "reader"})
    file = "/bucket/log/probe/final/step=000100.parquet"
    Bucket(profile="reader").pipe(file, b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(DamagedRun, match="is no readable Parquet file"):
        plan(bucket, RULE)
    Bucket(profile="reader").rm(file)
    Bucket(profile="reader").pipe(f"{file}.gz", b"")
    assert plan(bucket, RULE).steps == (0, 50)


def test_a_file_that_a_store_loses_is_not_called_damaged(
    bucket: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(conf, "s3", {"profile": "reader"})
    planned, file = plan(bucket, RULE), "probe/final/step=000100.parquet"
    Bucket(profile="reader").rm(f"/bucket/log/{file}")
    with pytest.raises(RunNotFound, match=f"has no {file}"):
        read(planned, planned.shards[0])
