"""Which steps take a machine's network from observed to desired. Decides; touches nothing."""

from collections.abc import Collection

from net.dataplane.desired import Desired
from net.dataplane.model import (
    BuildSegment,
    BuildTap,
    LoadRules,
    Mark,
    Observed,
    RemoveSegment,
    RemoveTap,
    Segment,
    SetForwarding,
    Step,
    TapLink,
)
from net.ports.model import Port
from noded.core.ids import PortId
from noded.core.store import View


def plan(view: View, wanted: Desired, observed: Observed) -> list[Step]:
    """The steps, in an order that never opens a path before its filter: devices, rules, taps; then what goes."""
    steps: list[Step] = []
    for _, segment in sorted(wanted.segments.items()):
        steps += _segment_steps(segment, observed)
    if observed.rules_digest != wanted.rules.digest:
        steps.append(LoadRules(wanted.rules))
    for name, tap in sorted(wanted.taps.items()):
        found = observed.taps.get(name)
        if found is None or not _same_tap(found, tap):
            steps.append(BuildTap(tap))
    gone = [name for name, tap in sorted(observed.taps.items()) if name not in wanted.taps and is_proof(view, tap.mark)]
    steps += [RemoveTap(name) for name in gone]
    steps += _empty_segments(view, wanted, observed, gone)
    return steps


def plugged_ports(observed: Observed) -> tuple[PortId, ...]:
    """The ports whose taps are on the machine."""
    return tuple(PortId(tap.mark.record_id) for tap in observed.taps.values())


def everything_of(wanted: Desired) -> Observed:
    """A machine on which all that is wanted is there."""
    return Observed(segments=wanted.segments, taps=wanted.taps, rules_digest=wanted.rules.digest)


def is_proof(view: View, mark: Mark) -> bool:
    """Whether the port that a tap stands for was deleted for certain: it was there at the mark, later it is not.

    Who lags behind the mark hasn't seen the record yet. That proves nothing, and the tap stays.
    """
    return view.revision > mark.revision and view.get(Port, mark.record_id) is None


def _segment_steps(segment: Segment, observed: Observed) -> list[Step]:
    found = observed.segments.get(segment.vni)
    steps: list[Step] = []
    if found is None or segment.vni in observed.incomplete or not _same_links(found, segment):
        steps.append(BuildSegment(segment))
        found = None if found is None or found.local_address != segment.local_address else found
    before = found or _without_forwarding(segment)
    if _forwarding(before) != _forwarding(segment):
        steps.append(SetForwarding(before, segment))
    return steps


def _same_links(one: Segment, other: Segment) -> bool:
    return (one.mark.record_id, one.mtu, one.local_address) == (other.mark.record_id, other.mtu, other.local_address)


def _forwarding(segment: Segment) -> tuple[object, ...]:
    return segment.peers, segment.remotes, segment.neighbours


def _without_forwarding(segment: Segment) -> Segment:
    return Segment(vni=segment.vni, mark=segment.mark, mtu=segment.mtu, local_address=segment.local_address)


def _same_tap(one: TapLink, other: TapLink) -> bool:
    return (one.mark.record_id, one.vni, one.mtu) == (other.mark.record_id, other.vni, other.mtu)


def _empty_segments(view: View, wanted: Desired, observed: Observed, gone: Collection[str]) -> list[Step]:
    """Networks that carry nobody here any more. One with a tap on it stays, whatever the store says or doesn't."""
    inhabited = {tap.vni for name, tap in observed.taps.items() if name not in gone}
    return [
        RemoveSegment(vni)
        for vni, segment in sorted(observed.segments.items())
        if vni not in wanted.segments and vni not in inhabited and view.revision > segment.mark.revision
    ]
