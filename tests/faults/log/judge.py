"""Did the log keep its word? Every call that clients made, against all that the registers ever held.

A register only changes by compare-and-set from one version to the next, so its history is one chain, and a call is
placed in it by the version that it made or saw. The calls are linearizable exactly if the chain holds what was
acknowledged, nothing that was refused, nothing twice, and if no call that began after another one's end saw or made
less than that one: sorting calls by (version, change before look, start) then is a legal order of all of them.
"""

import heapq
from collections import Counter
from collections.abc import Iterable

import msgspec

from tests.faults.log.registers import History

FOREVER = float("inf")
OK, REFUSED, UNKNOWN = "ok", "refused", "unknown"
SET, GET = "set", "get"


class Call(msgspec.Struct, kw_only=True):
    """One call of a client; times by one clock. `version` and `value`: what it made, tried to make, or saw."""

    client: int
    node: int
    kind: str
    register: str
    value: str = ""
    version: int | None = None  # of a refused change: what it saw, or None if it was refused for another reason
    start: float
    end: float = FOREVER
    outcome: str = UNKNOWN
    why: str = ""


class Verdict(msgspec.Struct, kw_only=True):
    """What was found, each as a sentence."""

    lost: list[str] = []
    stale: list[str] = []
    wrong: list[str] = []

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.stale or self.wrong)


def judge(calls: Iterable[Call], told: History) -> Verdict:
    """Judge the calls of one epoch by what the registers held at its end."""
    verdict = Verdict()
    by_register: dict[str, list[Call]] = {}
    for call in calls:
        by_register.setdefault(call.register, []).append(call)
    for register in sorted(by_register.keys() | told.keys()):
        _judge_register(by_register.get(register, []), told.get(register, []), verdict)
    return verdict


def judge_later(before: History, after: History) -> Verdict:
    """What stood at one judgement must still stand at a later one; what was unclear may have been added."""
    verdict = Verdict()
    for register, values in before.items():
        now = after.get(register, [])
        verdict.lost += [
            f"{register}: version {version} was {value} and is {_at(now, version)} later"
            for version, value in enumerate(values, start=1)
            if _at(now, version) != value
        ]
    return verdict


def judge_nodes(histories: dict[str, History]) -> Verdict:
    """No two nodes may tell different things; one may know more than another by what was unclear before."""
    verdict = Verdict()
    for register in sorted({register for told in histories.values() for register in told}):
        chains = {node: told.get(register, []) for node, told in histories.items()}
        longest = max(chains.values(), key=len)
        verdict.wrong += [
            f"{register}: {node} tells other values than another node"
            for node, chain in sorted(chains.items())
            if longest[: len(chain)] != chain
        ]
    return verdict


def _at(values: list[str], version: int) -> str:
    return values[version - 1] if 0 < version <= len(values) else "nothing"


def _judge_register(calls: list[Call], values: list[str], verdict: Verdict) -> None:
    tried = {call.value: call for call in calls if call.kind == SET}
    held = Counter(values)
    for value, times in held.items():
        if times > 1:
            verdict.wrong.append(f"{value} was written {times} times")
        if value not in tried:
            verdict.wrong.append(f"{value} was written by nobody")
        elif tried[value].outcome == REFUSED:
            verdict.wrong.append(f"{_said(tried[value])}, and yet it was made")
    placed: list[tuple[tuple[int, int], Call]] = []
    for call in calls:
        if call.kind == SET and call.outcome != REFUSED:
            if _at(values, call.version or 0) == call.value:
                placed.append(((call.version or 0, 0), call))
            elif call.outcome == OK:
                verdict.lost.append(f"{_said(call)}, and it is {_at(values, call.version or 0)} now")
            elif call.value in held:
                verdict.wrong.append(f"{_said(call)}, and stands elsewhere")
        elif call.version is not None and call.outcome != UNKNOWN:
            placed.append(((call.version, 1), call))
            if call.kind == GET and call.version and _at(values, call.version) != call.value:
                verdict.wrong.append(f"{_said(call)}, which is {_at(values, call.version)} now")
    _judge_order(placed, verdict)


def _judge_order(placed: list[tuple[tuple[int, int], Call]], verdict: Verdict) -> None:
    """No call may stand before one that ended before it began."""
    ending: list[tuple[float, int]] = []
    newest: tuple[tuple[int, int], Call] | None = None
    placed.sort(key=lambda pair: pair[1].start)
    for number, (place, call) in enumerate(placed):
        while ending and ending[0][0] < call.start:
            ended = placed[heapq.heappop(ending)[1]]
            if newest is None or ended[0] > newest[0]:
                newest = ended
        if newest is not None and newest[0] > place:
            kinds = verdict.stale if place[1] else verdict.wrong
            kinds.append(f"{_said(call)} after {_said(newest[1])}")
        heapq.heappush(ending, (FOREVER if call.outcome == UNKNOWN else call.end, number))


def _said(call: Call) -> str:
    end = "?" if call.end == FOREVER else f"{call.end:.3f}"
    what = f"{call.kind} {call.register} version {call.version} {call.value!r} was {call.outcome}"
    return f"client {call.client} at node {call.node}, {call.start:.3f} to {end}: {what}"
