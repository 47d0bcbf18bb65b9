"""What a model folder or a hub name can make a library raise, told as one error.

transformers, tokenizers, Jinja and torch read such a folder with little checking of their own: a
number where a text should be ends in a TypeError, a broken pattern in a bare Exception, a broken
table in a panic of Rust, which is no Exception at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from huggingface_hub.errors import StrictDataclassError
from jinja2 import TemplateError
from safetensors import SafetensorError

from rockcore.log.vocabulary import is_of_tokenizers
from rockcore.schema import RockError
from rockcore.spelling import printable

RAISED = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,  # torch, out of memory too; brackets or macros within each other without end
    ImportError,  # a quantised model without what reads it
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    SafetensorError,
    StrictDataclassError,  # a field of config.json of a wrong type
    TemplateError,
)
_SAY_LITTLE = (LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, MemoryError)


class ModelNotFound(RockError, FileNotFoundError):
    """No model can be loaded from this folder or name, or none that can be used."""


def is_of_a_library(e: BaseException) -> bool:
    """Whether a library may raise this over a bad input."""
    return isinstance(e, RAISED) or is_of_tokenizers(e)


def first_line(e: BaseException) -> str:
    """The first line of what an error says, with the next where it ends in a colon; its kind
    where the line alone says little.
    """
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    said = lines[0] if lines else ""
    for line in lines[1:]:
        if not said.endswith(":"):
            break
        said += f" {line}"
    said = printable(said if len(said) <= 300 else said[:299] + "…")
    if isinstance(e, _SAY_LITTLE) or not said:
        return f"{type(e).__name__}: {said}".removesuffix(": ")
    return said


@contextmanager
def told_as(error: Callable[[str], RockError]) -> Iterator[None]:
    """What a library raises over a bad input becomes `error` of its first line; errors of our own
    stay.
    """
    try:
        yield
    except BaseException as e:
        if isinstance(e, RockError) or not is_of_a_library(e):
            raise
        raise error(first_line(e)) from e


def named_failures(source: str) -> AbstractContextManager[None]:
    """What is raised over a folder or a name becomes ModelNotFound."""
    return told_as(
        lambda why: ModelNotFound(
            f"No model could be loaded from {shown(source)} ({why})",
            "It has to be a folder with config.json, a tokenizer and all weights as safetensors, "
            "or a hub name that can be reached",
            "Check the path; offline, give a folder with a model saved by save_pretrained",
        )
    )


def shown(source: str) -> str:
    """A folder or hub name in a message."""
    return f"'{printable(source)}'"
