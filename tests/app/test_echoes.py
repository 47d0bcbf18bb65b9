"""What a browser still sends is told from what a hand sets."""

from __future__ import annotations

from app.echoes import ECHO_S, Echoes


def test_a_value_that_a_handle_replaced_a_moment_ago_is_an_echo_and_none_later() -> None:
    echoes = Echoes()
    echoes.stir(0.0)
    for at, value in enumerate((0.5, 0.4, 0.3)):
        echoes.show("tau", value, at / 10)
    assert echoes.is_echo("tau", 0.5, 0.3) and echoes.is_echo("tau", 0.4, 0.3)
    assert not echoes.is_echo("other", 0.5, 0.3)
    assert not echoes.is_echo("tau", 0.5, 0.2 + ECHO_S)


def test_what_a_hand_has_set_may_be_set_back_at_once() -> None:
    echoes, at = Echoes(), 0.0
    echoes.show("switch", False, at)
    for value in (True, False, True, False):
        assert not echoes.is_echo("switch", value, at := at + 0.1)
        echoes.show("switch", value, at)


def test_what_another_control_has_replaced_may_be_set_again_at_once() -> None:
    echoes = Echoes()
    echoes.show("preset", "default", 0.0)
    echoes.show("preset", None, 0.1)
    assert not echoes.is_echo("preset", "default", 0.2)
