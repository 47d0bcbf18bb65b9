"""A trace of verifiers as flat records: one a branch, from the first token on that it adds."""

from __future__ import annotations

from typing import Any

import numpy as np

from rockcore.importers.messages import spelled
from rockcore.importers.rows import BadRow
from rockcore.importers.traces import Nodes, branches_of

STREAMS = ("logprobs", "reference_logprobs", "trainer_logprobs", "entropies")
_DROPPED = "is_masked"  # tokens that the trainer left out of its loss


class Said:
    """What a trace says: `branches` as (number, record), those of them that add nothing counted as
    `silent`. Branches share the messages before they part: the first one has those.
    """

    def __init__(self, trace: dict[str, Any], updates: list[dict[str, Any]]):
        """Raises BadRow for a trace that contradicts itself."""
        paths = branches_of(trace)
        nodes = Nodes(trace, STREAMS)
        self.silent = self.wrong_updates = 0
        for update in updates:
            try:
                _lay(nodes, paths, update)
            except BadRow:  # of the trace itself nothing is wrong
                self.wrong_updates += 1
        self.branches: list[tuple[int, dict[str, Any]]] = []
        seen: set[int] = set()
        for number, path in enumerate(paths):
            record = _flat(nodes, path, seen)
            seen.update(path)
            if record is None:
                self.silent += 1
            else:
                self.branches.append((number, record))


def _flat(nodes: Nodes, path: list[int], seen: set[int]) -> dict[str, Any] | None:
    first = next((n for n, i in enumerate(path) if i not in seen and _speaks(nodes, i)), None)
    if first is None:
        return None
    messages, own = [nodes.nodes[i] for i in path], path[first:]
    record: dict[str, Any] = {
        "prompt": spelled(messages[:first]),
        "messages": first,  # of the prompt
        "message": spelled(messages[first:]),
    }
    mask = nodes.joined(own, nodes.masks)
    if not mask.any():
        return record
    start = int(mask.argmax())
    before = nodes.joined(path, nodes.ids)
    record["prompt_ids"] = before[: len(before) - len(mask) + start]
    record["token_ids"] = nodes.joined(own, nodes.ids)[start:]
    record["mask"] = mask[start:].astype(np.float32)
    for name, streams in nodes.streams.items():
        stream = nodes.joined(own, streams)[start:]
        if not np.isnan(stream).all():
            record[name] = stream
    if _DROPPED in record:
        record["mask"] *= record.pop(_DROPPED) != 1
    return record


def _speaks(nodes: Nodes, node: int) -> bool:
    """Whether the model wrote a node; of what was only relayed there are no tokens."""
    return bool(nodes.masks[node].any()) or (
        nodes.nodes[node].get("sampled") is True and not len(nodes.ids[node])
    )


def _lay(nodes: Nodes, paths: list[list[int]], update: dict[str, Any]) -> None:
    """Lay an update's streams on the nodes of its branches. Raises BadRow where they do not fit."""
    branches = update.get("branches") or []
    if not isinstance(branches, list):
        raise BadRow("branches", "is no list")
    for branch in branches:
        index = branch.get("index") if isinstance(branch, dict) else None
        if type(index) is not int or not 0 <= index < len(paths):
            raise BadRow("branches.index", f"is {ascii(index)[:80]} of {len(paths)} branches")
        for name in (*STREAMS, _DROPPED):
            values = branch.get(name)
            if isinstance(values, list):
                # true and false of what was dropped as numbers
                numbers = [int(v) if isinstance(v, bool) else v for v in values]
                nodes.put(paths[index], name, numbers)
