"""A visitor of the dashboard without a browser: speaks Streamlit's websocket as its own page does.

It keeps what a browser keeps that matters to the server: which widgets there are, what they show,
the address, and which large messages it has been sent before. It draws nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

_KEPT_RUNS = 1000  # global.maxCachedMessageAge of app/.streamlit/config.toml
_NOTHING_SENT = ("text", "markdown", "html", "heading", "alert", "empty")


@dataclass
class Visitor:
    """One session. `widgets`: by the key that the page gave it, the element with its id."""

    socket: ClientConnection
    page: str
    query: str
    widgets: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    bytes: int = 0  # received
    _sent_before: dict[str, int] = field(default_factory=dict)  # hash -> the rerun it came in
    _script: str = ""
    _reruns: int = 0

    @classmethod
    async def arrives(cls, address: str, page: str, query: str) -> Visitor:
        """Open a session, whose first rerun is still to be asked for."""
        socket = await connect(
            address.replace("http", "ws", 1) + "/_stcore/stream",
            origin=address,  # type: ignore[arg-type]
            subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=None,
            open_timeout=120,
            ping_timeout=None,  # a server under load answers late, and is not gone
        )
        return cls(socket, page, query)

    async def rerun(self, *changes: WidgetState) -> None:
        """Have the page drawn with these changes, and wait until it is."""
        self._reruns += 1
        fresh = [h for h, at in self._sent_before.items() if self._reruns - at <= _KEPT_RUNS]
        state = ClientState(
            query_string=self.query,
            page_script_hash=self._script,
            page_name="" if self._script else self.page,
            cached_message_hashes=fresh,
        )
        state.widget_states.widgets.extend(changes)
        await self.socket.send(BackMsg(rerun_script=state).SerializeToString())
        while not self._hears(await self.socket.recv()):
            pass

    async def leaves(self) -> None:
        await self.socket.close()

    def _hears(self, payload: str | bytes) -> bool:
        """Take in one message; whether the rerun has ended with it."""
        assert isinstance(payload, bytes)
        self.bytes += len(payload)
        message = ForwardMsg.FromString(payload)
        kind = message.WhichOneof("type")
        if message.metadata.cacheable:
            self._sent_before[message.hash] = self._reruns
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._sees(message.delta.new_element)
        elif kind == "navigation":
            self._script = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "page_not_found":
            self.errors.append(f"no page {message.page_not_found.page_name}")
        elif kind == "ref_hash" and message.ref_hash not in self._sent_before:
            self.errors.append("a message was sent by a hash that nobody has asked for")
        # a rerun that began anew says so, and ends later
        return (
            kind == "script_finished"
            and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
        )

    def _sees(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.errors.append(f"{element.exception.type}: {element.exception.message}")
        shown = getattr(element, kind or "", None)
        if kind not in _NOTHING_SENT and (identity := getattr(shown, "id", "")):
            self.widgets[identity.split("-", 2)[-1]] = shown
