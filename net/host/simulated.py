"""The dataplane in memory: the same steps, the same answers to `observe`, no machine."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from net.dataplane.model import (
    Answers,
    BuildSegment,
    BuildTap,
    EndFlows,
    Flow,
    LoadRules,
    Observed,
    RemoveSegment,
    RemoveTap,
    Segment,
    SetForwarding,
    Step,
    bridge_name,
)
from net.links import DataplaneFault


class SimulatedDataplane:
    """Implements `Dataplane`."""

    def __init__(self) -> None:
        self.observed = Observed()
        self.tracked: list[Flow] = []
        self.answers: dict[int, Answers] = {}
        self.missing: tuple[str, ...] = ()
        self.strangers: set[str] = set()  # devices that somebody else made under our names
        self.refuses_rules = False

    def lacks(self) -> tuple[str, ...]:
        """What a test says that this machine lacks."""
        return self.missing

    async def observe(self) -> Observed:
        """What the steps made."""
        return self.observed

    async def act(self, steps: Sequence[Step]) -> None:
        """Carry out all steps that can be, in their order."""
        faults = []
        for step in steps:
            try:
                self._do(step)
            except DataplaneFault as fault:
                faults.append(f"{type(step).__name__}: {fault}")
                if isinstance(step, LoadRules):
                    break
        if faults:
            raise DataplaneFault("; ".join(faults))

    def _do(self, step: Step) -> None:  # one short case for each kind of step
        segments, taps = dict(self.observed.segments), dict(self.observed.taps)
        digest = self.observed.rules_digest
        match step:
            case BuildSegment(segment):
                if bridge_name(segment.vni) in self.strangers:
                    raise DataplaneFault(f"{bridge_name(segment.vni)} is there, but noded did not make it")
                segments[segment.vni] = _built(segments.get(segment.vni), segment)
            case SetForwarding(before, after):
                segments[after.vni] = _forwarded(self._segment(after.vni), before, after)
            case RemoveSegment(vni):
                segments.pop(vni, None)
                taps = {name: replace(tap, vni=0) if tap.vni == vni else tap for name, tap in taps.items()}
            case BuildTap(tap):
                self._segment(tap.vni)
                taps[tap.name] = replace(tap, mark=taps[tap.name].mark) if tap.name in taps else tap
            case RemoveTap(name):
                taps.pop(name, None)
            case LoadRules(rules):
                if self.refuses_rules:
                    raise DataplaneFault("nftables: no memory")
                digest = rules.digest
            case EndFlows(flows):
                self.tracked = [flow for flow in self.tracked if flow not in flows]
        self.observed = Observed(segments=segments, taps=taps, rules_digest=digest)

    def _segment(self, vni: int) -> Segment:
        if vni not in self.observed.segments:
            raise DataplaneFault(f"the device {bridge_name(vni)} has gone")
        return self.observed.segments[vni]

    async def flows(self, zone: int) -> list[Flow]:
        """The connections that a test has put there."""
        return [flow for flow in self.tracked if flow.zone == zone]

    async def answer(self, answers: Mapping[int, Answers], segments: Mapping[int, Segment]) -> None:
        """Remember the answers."""
        assert answers.keys() <= segments.keys(), "services need their network"
        self.answers = dict(answers)


def _built(found: Segment | None, segment: Segment) -> Segment:
    """Building makes devices, not entries: those of a bridge stay, those of a tunnel made anew are gone."""
    if found is None:
        return replace(segment, peers=frozenset(), remotes=frozenset(), neighbours=frozenset())
    if found.local_address == segment.local_address:
        return replace(found, mtu=segment.mtu)
    return replace(found, mtu=segment.mtu, local_address=segment.local_address, peers=frozenset(), remotes=frozenset())


def _forwarded(found: Segment, before: Segment, after: Segment) -> Segment:
    """As the kernel keeps them: one entry a MAC address, one neighbour an IP address."""
    remotes = {remote.mac: remote for remote in found.remotes}
    neighbours = {neighbour.ip_address: neighbour for neighbour in found.neighbours}
    for remote in before.remotes - after.remotes:
        remotes.pop(remote.mac, None)
    for neighbour in before.neighbours - after.neighbours:
        neighbours.pop(neighbour.ip_address, None)
    remotes |= {remote.mac: remote for remote in after.remotes}
    neighbours |= {neighbour.ip_address: neighbour for neighbour in after.neighbours}
    return replace(
        found,
        peers=(found.peers - before.peers) | after.peers,
        remotes=frozenset(remotes.values()),
        neighbours=frozenset(neighbours.values()),
    )
