"""What the server does with a message that its own page would not send: a click without the secret
on a button that only those see, or only those may press, who have it.

The same message of a browser with the secret is done, which shows that it was well forged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from chrome import SECRET, serving
from conftest import write_tiny_run
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

ENDED = ForwardMsg.FINISHED_SUCCESSFULLY


class Visitor(NamedTuple):
    """One session of a page, without a browser."""

    socket: ClientConnection
    page: str

    def sends(self, *states: WidgetState) -> list[Any]:
        """Say what the widgets are; the elements that are drawn then."""
        asked = ClientState(page_name=self.page, query_string="run=tiny")
        asked.widget_states.widgets.extend(states)
        self.socket.send(BackMsg(rerun_script=asked).SerializeToString())
        drawn: list[Any] = []
        while True:
            message = ForwardMsg.FromString(self.socket.recv(60))  # type: ignore[arg-type]
            if message.delta.HasField("new_element"):
                element = message.delta.new_element
                drawn.append(getattr(element, element.WhichOneof("type") or "empty"))
            elif message.delta.add_block.HasField("popover"):
                drawn.append(message.delta.add_block.popover)
            elif message.HasField("script_finished") and message.script_finished == ENDED:
                return drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forged")


@pytest.fixture(scope="module")
def visit(folder: Path) -> Iterator[Callable[..., Visitor]]:
    """visit("session", SECRET) is a visitor of that page who has opened the link with it."""
    run = write_tiny_run(folder / "tiny")
    command = ["-m", "rockcore", "app", str(run), "--headless", "--port"]
    environment = os.environ | {"ROCKCORE_TOKEN": SECRET}
    with ExitStack() as stack:
        address = stack.enter_context(
            serving(lambda port: [*command, port], folder, environment)
        ).removeprefix("http://")

        def arrives(page: str, secret: str) -> Visitor:
            cookie = f"rockcore_{address.rpartition(':')[2]}={secret}"
            socket = connect(
                f"ws://{address}/_stcore/stream",
                subprotocols=["streamlit"],  # type: ignore[list-item]
                additional_headers={"Cookie": cookie},
                max_size=None,
            )
            return Visitor(stack.enter_context(socket), page)

        yield arrives


def named(drawn: list[Any], label: str) -> str:
    """The id of the widget with a label."""
    return next(e.id for e in drawn if getattr(e, "label", "") == label)


def said(drawn: list[Any]) -> str:
    return " ".join(getattr(element, "body", "") for element in drawn)


def test_a_click_on_start_without_the_secret_starts_nothing(visit, folder: Path) -> None:
    owner, stranger = visit("session", SECRET), visit("session", "wrong")
    drawn = owner.sends()
    too_many = WidgetState(id=named(drawn, "Steps"), double_value=1e12)
    click = WidgetState(id=named(drawn, "Start training"), trigger_value=True)
    assert "may not act" not in said(drawn)
    assert "steps = 1" in said(owner.sends(too_many, click))  # it reaches the form
    stranger.sends()
    for states in ((click,), (too_many, click)):
        answer = said(stranger.sends(*states))
        assert "has not shown that it may act" in answer and "steps = 1" not in answer
    assert not (folder / "runs").exists()


def test_a_click_on_the_disabled_button_that_saves_a_rule_saves_none(visit, folder: Path) -> None:
    owner, stranger = visit("threshold_lab", SECRET), visit("threshold_lab", "wrong")
    opened = WidgetState(id=named(stranger.sends(), "Save"), bool_value=True)
    drawn = stranger.sends(opened)  # what is in it is drawn only when it is open
    name = WidgetState(id=named(drawn, "Name"), string_value="mine")
    click = WidgetState(id=named(drawn, "Save the rule"), trigger_value=True)
    assert "Saved" not in said(stranger.sends(opened, name, click))
    assert not (folder / "rules").exists()
    owner.sends(opened)
    assert "Saved" in said(owner.sends(opened, name, click))
    assert [file.name for file in (folder / "rules").iterdir()] == ["mine.json"]
