"""The messages of a trace of verifiers as text, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_LIMITS = (  # of `stop_condition`: the text was cut
    "max_turns",
    "max_input_tokens",
    "max_output_tokens",
    "max_total_tokens",
    "compaction_failed",
)


def was_cut(trace: Mapping[str, Any]) -> bool | None:
    """Whether a limit ended the trace; None where it does not say how it ended."""
    reason = trace.get("stop_condition")
    last = next((c for c in reversed(_calls(trace)) if c.get("error") is None), None)
    if reason is None and last is None:
        return None
    return reason in _LIMITS or (last is not None and last.get("finish_reason") == "length")


def writer_of(trace: Mapping[str, Any]) -> str:
    """The model that was called; empty where none is named."""
    models = (call.get("model") for call in _calls(trace))
    return next((ascii(name)[1:-1][:200] for name in models if isinstance(name, str)), "")


def _calls(trace: Mapping[str, Any]) -> list[dict[str, Any]]:
    calls = trace.get("calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def spelled(nodes: Sequence[Mapping[str, Any]]) -> str:
    """Messages as one text; several are told apart by their roles."""
    said = [(_role(node), _content(node)) for node in nodes]
    if len(said) == 1:
        return said[0][1]
    return "\n\n".join(f"{role}: {content}" for role, content in said)


def _role(node: Mapping[str, Any]) -> str:
    message = node.get("message")
    return str(message.get("role", "")) if isinstance(message, dict) else ""


def _content(node: Mapping[str, Any]) -> str:
    message = node.get("message")
    return "\n".join(_parts(message)) if isinstance(message, dict) else ""


def _parts(message: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(thought := message.get("reasoning_content"), str):
        yield thought
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):  # text and pictures
        yield from (p["text"] for p in content if isinstance(p, dict) and _is_text(p.get("text")))
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            yield f"{call.get('name', '')}({call.get('arguments', '')})"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
