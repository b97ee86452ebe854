"""Every pair of what is wanted and what is found has one right step."""

from typing import Any

import pytest

from compute.hypervisor import Guest, GuestState
from compute.servers.commands import GuestReport
from compute.servers.model import Fault, Observed, Phase, Power, Restart, Server, phase_of
from compute.servers.plan import (
    AGAIN_S,
    BUTTON_S,
    PressButton,
    Pressed,
    Remove,
    Resume,
    Start,
    TakePower,
    news,
    plan,
    step_for,
)
from noded.core.ids import ServerId
from tests.unit.compute.builders import guest, server

RUNNING, PAUSED, OFF, ENDED = GuestState.RUNNING, GuestState.PAUSED, GuestState.OFF, GuestState.ENDED_ITSELF
ON: dict[str, Any] = {"seen": Power.ON, "seen_run": 1}


def test_plan_leaves_strangers_alone() -> None:
    assert plan([], {ServerId("x"): guest(id="x")}, {}) == []


@pytest.mark.parametrize(
    ("wanted", "found", "step"),
    [
        (server(), None, Start),
        (server(), guest(OFF), Start),
        (server(**ON), guest(RUNNING), None),
        (server(**ON), guest(OFF), Start),  # the host rebooted
        (server(**ON), None, Start),
        (server(**ON), guest(PAUSED), Resume),
        (server(**ON), guest(ENDED), None),  # it powered itself off
        (server(**ON, run=2), guest(ENDED), Start),  # and its owner started it again
        (server(seen_run=0), guest(ENDED), Start),  # never seen running: it did not end in this run
        (server(**ON, run=2, restart=Restart.SOFT), guest(RUNNING), PressButton),
        (server(**ON, run=2, restart=Restart.SOFT), guest(PAUSED), TakePower),
        (server(**ON, run=2, restart=Restart.HARD), guest(RUNNING), TakePower),
        (server(**ON, run=2, restart=Restart.HARD), guest(OFF), Start),
        (server(**ON, power=Power.OFF), guest(RUNNING), PressButton),
        (server(**ON, power=Power.OFF), guest(PAUSED), TakePower),
        (server(**ON, power=Power.OFF), guest(ENDED), None),
        (server(**ON, power=Power.OFF), None, None),
        (server(**ON, power=Power.OFF, deleting=True), guest(RUNNING), Remove),
        (server(power=Power.OFF, deleting=True), None, Remove),
    ],
)
def test_step(wanted: Server, found: Guest | None, step: type | None) -> None:
    got = step_for(wanted, found, None)
    assert (None if got is None else type(got)) is step


def test_a_button_is_pressed_again_and_waited_for_and_then_the_power_goes() -> None:
    stopping = server(**ON, power=Power.OFF)
    assert step_for(stopping, guest(RUNNING), Pressed(1.0, 1.0)) is None
    assert step_for(stopping, guest(RUNNING), Pressed(10.0, AGAIN_S)) == PressButton(stopping, run=1)
    assert step_for(stopping, guest(RUNNING), Pressed(BUTTON_S, 1.0)) == TakePower(stopping)


@pytest.mark.parametrize(
    ("wanted", "found", "report"),
    [
        (server(), None, None),
        (server(), guest(RUNNING), GuestReport(server_id=ServerId("s1"), power=Power.ON, run=1)),
        (server(**ON), guest(RUNNING), None),
        (server(**ON), guest(PAUSED), None),
        (server(**ON), guest(OFF), None),
        (
            server(**ON),
            guest(ENDED),
            GuestReport(server_id=ServerId("s1"), power=Power.OFF, run=1, ended_itself=True),
        ),
        (server(**ON, power=Power.OFF), guest(RUNNING), None),
        (
            server(**ON, power=Power.OFF),
            guest(ENDED),
            GuestReport(server_id=ServerId("s1"), power=Power.OFF, run=1),
        ),
        (server(**ON, power=Power.OFF, deleting=True), None, None),
        (
            server(observed=Observed(fault=Fault(message="full", since_ms=1))),
            guest(RUNNING),
            GuestReport(server_id=ServerId("s1"), power=Power.ON, run=1),
        ),
    ],
)
def test_news(wanted: Server, found: Guest | None, report: GuestReport | None) -> None:
    assert news(wanted, found) == report


@pytest.mark.parametrize(
    ("wanted", "phase"),
    [
        (server(), Phase.BUILDING),
        (server(**ON), Phase.RUNNING),
        (server(**ON, run=2), Phase.STARTING),
        (server(**ON, run=2, restart=Restart.SOFT), Phase.SOFT_REBOOTING),
        (server(**ON, run=2, restart=Restart.HARD), Phase.HARD_REBOOTING),
        (server(**ON, power=Power.OFF), Phase.STOPPING),
        (server(seen_run=1, power=Power.OFF), Phase.STOPPED),
        (server(observed=Observed(fault=Fault(message="full", since_ms=1))), Phase.FAILED),
        (server(**ON, deleting=True), Phase.DELETING),
    ],
)
def test_phase(wanted: Server, phase: Phase) -> None:
    assert phase_of(wanted) is phase
