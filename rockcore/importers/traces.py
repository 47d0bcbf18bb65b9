"""Message graphs of the library verifiers, which prime-rl trains on: a trace stores each message
once, a branch is the path from a root to a leaf, and its tokens are those of its nodes in a row.

A node's `mask` says which of its `token_ids` were sampled; streams such as `logprobs` have one
number for each of these and none for the others. Fields as of verifiers 0.4.0, v1/graph.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rockcore.importers.rows import BadRow, ids_of, numbers_of


def traces_of(record: Mapping[str, Any]) -> list[Any]:
    """The traces of an episode; a record that has nodes itself is one."""
    traces = [record] if "nodes" in record else record.get("traces")
    if not isinstance(traces, list):
        raise BadRow("traces", "is no list, and there are no nodes")
    return traces


def branches_of(trace: Mapping[str, Any]) -> list[list[int]]:
    """The indices of the nodes of each branch, from the root to its leaf, in the order of leaves.

    Raises BadRow for nodes that are no forest.
    """
    nodes = trace.get("nodes")
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise BadRow("nodes", "is no list of objects")
    parents = [node.get("parent") for node in nodes]
    for child, parent in enumerate(parents):
        if parent is not None and (type(parent) is not int or not 0 <= parent < child):
            raise BadRow("nodes.parent", f"is {ascii(parent)[:80]} at node {child}")
    inner = {parent for parent in parents if parent is not None}
    return [_path(parents, leaf) for leaf in range(len(nodes)) if leaf not in inner]


def _path(parents: Sequence[int | None], leaf: int) -> list[int]:
    path: list[int] = []
    at: int | None = leaf
    while at is not None:  # each parent comes before its child, so this ends
        path.append(at)
        at = parents[at]
    return path[::-1]


class Nodes:
    """The tokens of a trace's nodes, and streams of numbers over those that were sampled."""

    def __init__(self, trace: Mapping[str, Any], streams: Sequence[str]):
        """Raises BadRow for a node that contradicts itself."""
        self.nodes: list[dict[str, Any]] = trace["nodes"]
        self.ids = [ids_of(node.get("token_ids") or [], "nodes.token_ids") for node in self.nodes]
        self.masks = [_mask(node, len(ids)) for node, ids in zip(self.nodes, self.ids, strict=True)]
        self.streams = {
            name: [self._stream(i, node.get(name), name) for i, node in enumerate(self.nodes)]
            for name in streams
        }

    def _stream(self, node: int, values: Any, name: str) -> np.ndarray:
        """The numbers of one node over all its tokens, (T,) float32; NaN where there is none."""
        mask = self.masks[node]
        spread = np.full(len(mask), np.nan, np.float32)
        if values:
            numbers = numbers_of(values, f"nodes.{name}")
            if len(numbers) not in (int(mask.sum()), len(mask)):
                said = f"has {len(numbers)} values for {mask.sum()} sampled tokens of {len(mask)}"
                raise BadRow(f"nodes.{name}", said)
            spread[mask] = numbers[mask] if len(numbers) == len(mask) else numbers
        return spread

    def put(self, path: Sequence[int], name: str, values: Any) -> None:
        """Lay a stream over all tokens of a branch on its nodes: newer numbers replace those there
        are, null leaves them.
        """
        total = sum(len(self.ids[i]) for i in path)
        numbers = numbers_of(values, name)
        if len(numbers) != total:
            raise BadRow(name, f"has {len(numbers)} values for a branch of {total} tokens")
        at = 0
        streams = self.streams.setdefault(name, [self._stream(i, None, name) for i in self._all()])
        for i in path:
            here = numbers[at : at + len(self.ids[i])]
            known = self.masks[i] & ~np.isnan(here)
            streams[i][known] = here[known]
            at += len(here)

    def _all(self) -> range:
        return range(len(self.nodes))

    def joined(self, path: Sequence[int], arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The arrays of a branch's nodes in a row."""
        return np.concatenate([arrays[i] for i in path])


def _mask(node: Mapping[str, Any], length: int) -> np.ndarray:
    mask = node.get("mask") or []
    if not isinstance(mask, list) or not {type(each) for each in mask} <= {bool, int}:
        raise BadRow("nodes.mask", "is no list of true and false")
    if len(mask) not in ((0, length) if not any(mask) else (length,)):
        raise BadRow("nodes.mask", f"has {len(mask)} entries for {length} tokens")
    return np.array(mask, bool) if mask else np.zeros(length, bool)
