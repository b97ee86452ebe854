"""May the log begin anew on this node, and what would that cost? Decides; touches nothing."""

from collections.abc import Collection, Sequence

from consensus.recovery.model import LogStanding, RecoveryPlan, Seen
from noded.core.ids import NodeId


def plan_recovery(cluster: str, node_name: str, standing: LogStanding, others: Sequence[Seen]) -> RecoveryPlan:
    """What recovering here would mean. `others`: every other member and voter, whether it answered or not."""
    answering = {standing.node_id} | {one.node_id for one in others if one.standing is not None}
    return RecoveryPlan(
        cluster=cluster,
        node_id=standing.node_id,
        node_name=node_name,
        standing=standing,
        others=tuple(others),
        obstacles=tuple(_obstacles(standing, others)),
        warnings=tuple(_warnings(standing, others, answering)),
        losses=tuple(_losses(standing, others)),
        steps=tuple(_steps(node_name, standing, others)),
    )


def left_behind(standing: LogStanding) -> tuple[str, ...]:
    """Who votes now and would have no say any more."""
    return tuple(voter for voter in standing.voters if voter != standing.node_id)


def _obstacles(standing: LogStanding, others: Sequence[Seen]) -> list[str]:
    found = []
    if not standing.voters:
        found.append("This node holds nothing of the cluster's log, so there is nothing to go on with.")
    if standing.voters == (standing.node_id,):
        found.append("This node is the only voter already: it needs nobody else. Start its daemon.")
    for one in others:
        theirs = one.standing
        if theirs is not None and _is_newer(theirs, standing):
            found.append(
                f"{one.name} follows a newer life of this cluster already: it was recovered or restored there. Start"
                " this node's daemon: it joins that one."
            )
    return found


def _warnings(standing: LogStanding, others: Sequence[Seen], answering: Collection[NodeId]) -> list[str]:
    found = []
    voters = set(standing.voters)
    if voters and 2 * len(voters & set(answering)) > len(voters):
        found.append(
            f"{len(voters & set(answering))} of {len(voters)} voters answer: that is a majority, and they need no"
            " recovery but only to reach one another."
        )
    leaders = {one.standing.leader_id for one in others if one.standing is not None} | {standing.leader_id}
    if leading := leaders - {None}:
        found.append(f"Some nodes follow a leader ({', '.join(sorted(map(str, leading)))}): the log is alive.")
    better = [one for one in others if one.standing is not None and _holds_more(one.standing, standing)]
    if better:
        best = max(better, key=lambda one: one.standing.newest if one.standing is not None else (0, 0))
        found.append(
            f"{best.name} holds more of the log than this node ({_place(best.standing)}, here {_place(standing)}):"
            " recover there, and this node joins it."
        )
    return found


def _losses(standing: LogStanding, others: Sequence[Seen]) -> list[str]:
    silent = [one for one in others if one.votes and one.standing is None]
    names = ", ".join(one.name for one in silent) or "nobody"
    found = [
        (
            f"This node holds the log up to entry {standing.last_index} (term {standing.last_term}), and knows that"
            f" all up to {standing.committed_index} was acknowledged."
        ),
        (
            f"Voters that do not answer: {names}. What they acknowledged among themselves after entry"
            f" {standing.last_index} is lost, and nothing here can tell whether there was any."
        ),
    ]
    if standing.last_index > standing.committed_index:
        found.append(
            f"Entries {standing.committed_index + 1} to {standing.last_index} may never have been acknowledged to"
            " anyone. They become valid."
        )
    found.append(
        "Should the silent ones come back, they set their log aside (it is kept in their state directory) and join"
        " as new followers: two clusters never go on. If they are alive behind a broken network, everything that they"
        " acknowledge meanwhile is lost then: mend the network instead."
    )
    return found


def _steps(node_name: str, standing: LogStanding, others: Sequence[Seen]) -> list[str]:
    followers = [one.name for one in others if one.standing is not None]
    return [
        "The log of this node is copied, as it is.",
        (
            f"{node_name} becomes the only voter of a new life of the cluster (number"
            f" {(standing.incarnation.count if standing.incarnation else 0) + 1})."
        ),
        (
            f"Those that answer ({', '.join(followers) or 'none'}) set their log aside, follow, and vote again when"
            " they have caught up."
        ),
    ]


def _is_newer(one: LogStanding, other: LogStanding) -> bool:
    if one.incarnation is None or other.incarnation is None:
        return False
    return one.incarnation > other.incarnation


def _holds_more(one: LogStanding, other: LogStanding) -> bool:
    return one.incarnation == other.incarnation and one.newest > other.newest


def _place(standing: LogStanding | None) -> str:
    return "" if standing is None else f"entry {standing.last_index} of term {standing.last_term}"
