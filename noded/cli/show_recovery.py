"""How backups, recoveries and the lives of a cluster look in a terminal. Pure: values in, words and tables out."""

from typing import Any, Protocol

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from consensus.incarnation import Incarnation
from consensus.recovery.archive import BackupHeader
from consensus.recovery.model import Life, LogStanding, RecoveryPlan
from noded.core.times import zulu

Facts = dict[str, Any]


class Survey(Protocol):
    """A backup that was read, and what stands against restoring it."""

    @property
    def header(self) -> BackupHeader: ...
    @property
    def digest(self) -> str: ...
    @property
    def records(self) -> int: ...
    @property
    def alive(self) -> tuple[str, ...]: ...
    @property
    def newest(self) -> Incarnation | None: ...
    @property
    def stranger(self) -> str: ...


class Begun(Protocol):
    """A new life, and where the log from before it is kept."""

    @property
    def life(self) -> Life: ...
    @property
    def kept_in(self) -> object: ...


def taken(report: Facts) -> RenderableType:
    """A backup was taken."""
    return Text(
        f"revision {report['revision']} of cluster {report['cluster']}: {report['bytes']} bytes in {report['file']}."
        " Check it with: noded backup verify FILE"
    )


def backup_facts(header: BackupHeader) -> Facts:
    """What a backup says in the open."""
    return {
        "cluster": header.cluster_name,
        "cluster_id": header.cluster_id,
        "revision": header.revision,
        "taken_at": zulu(header.taken_at_ms),
        "taken_by": header.taken_by,
        "release": header.release,
        "level": header.level,
        "life": header.incarnation.count if header.incarnation is not None else 0,
    }


def verified(report: Facts) -> RenderableType:
    """A backup that is whole."""
    counts = " · ".join(f"{noun} {count}" for noun, count in report["records"].items())
    head = _pairs({name: value for name, value in report.items() if name != "records"})
    return Group(Text("The backup is whole.", style="green"), head, Text(counts, style="dim"))


def restoring_facts(survey: Survey, begun: Begun | None) -> Facts:
    """What was restored, or would be."""
    facts = backup_facts(survey.header) | {
        "digest": survey.digest,
        "records": survey.records,
        "alive": list(survey.alive),
        "member_of": survey.stranger,
        "restored": begun is not None,
    }
    if begun is not None:
        facts |= {"new_life": begun.life.count, "log_before": str(begun.kept_in) if begun.kept_in else ""}
    return facts


def restored(report: Facts) -> RenderableType:
    """What came of a restore, or what would."""
    if not report["restored"]:
        alive = ", ".join(report["alive"])
        stands = []
        if alive:
            stands.append(Text(f"Living members of that cluster: {alive}. It is refused without --force.", style="red"))
        if report["member_of"]:
            stands.append(Text(f"This node belongs to cluster {report['member_of']}: see --force.", style="red"))
        ready = [] if stands else [Text("Nothing stands against it.", style="green")]
        return Group(_pairs({**report, "alive": alive or "-"}), *stands, *ready)
    return Group(
        Text(f"This node now is cluster {report['cluster']}, as of revision {report['revision']}.", style="green"),
        Text(f"What it was before: {report['log_before'] or 'nothing'}. Users and passwords are those of the backup."),
        Text("Start its daemon. Nodes of the backup that still exist follow by themselves; say of each one that is"),
        Text("gone for good: noded node forget NAME. New nodes are let in as always."),
    )


def lives(found: list[Facts]) -> RenderableType:
    """A line a life."""
    table = Table(box=None, pad_edge=False)
    for column in ("life", "began", "how", "on node", "revision", "without"):
        table.add_column(column)
    for life in found:
        without = ", ".join(voter[:12] for voter in life["left_behind"]) or "-"
        how = life["beginning"] + (f", backup of {life['backup_taken_at']}" if life["backup_taken_at"] else "")
        cells = (str(life["number"]), life["began_at"], how, life["node"][:12], str(life["revision"]), without)
        table.add_row(*(Text(cell) for cell in cells))
    return table if found else Text("The cluster's log never began anew since its founding.")


def plan_facts(plan: RecoveryPlan) -> Facts:
    """A plan as JSON."""
    standing = plan.standing
    return {
        "cluster": plan.cluster,
        "node": plan.node_id,
        "name": plan.node_name,
        "holds": _place(standing),
        "voters": list(standing.voters),
        "others": [
            {
                "node": one.node_id,
                "name": one.name,
                "votes": one.votes,
                "answers": one.standing is not None,
                "holds": None if one.standing is None else _place(one.standing),
                "why_not": one.silent,
            }
            for one in plan.others
        ],
        "obstacles": list(plan.obstacles),
        "warnings": list(plan.warnings),
        "losses": list(plan.losses),
        "steps": list(plan.steps),
    }


def plan(found: RecoveryPlan) -> RenderableType:
    """Who is there, what may be lost, what would be done."""
    table = Table(box=None, pad_edge=False)
    for column in ("node", "votes", "answers", "entry", "term", "acknowledged"):
        table.add_column(column)
    rows: list[tuple[str, bool, LogStanding | None]] = [
        (f"{found.node_name} (this one)", found.node_id in found.standing.voters, found.standing)
    ]
    rows += [(one.name, one.votes, one.standing) for one in found.others]
    for name, votes, standing in rows:
        place = _place(standing) if standing is not None else {}
        cells = (str(place.get(key, "-")) for key in ("entry", "term", "acknowledged"))
        answers = Text("yes", style="green") if standing is not None else Text("no", style="bold red")
        table.add_row(Text(name), "yes" if votes else "no", answers, *cells)
    return Group(
        Text(f"cluster {found.cluster}"),
        table,
        *_section("What stands against it", found.obstacles, "bold red"),
        *_section("Think twice", found.warnings, "yellow"),
        *_section("What may be lost", found.losses, ""),
        *_section("What is done", found.steps, ""),
    )


def recovered_facts(plan: RecoveryPlan, done: LogStanding | Begun) -> Facts:
    """What came of a recovery."""
    if isinstance(done, LogStanding):
        number = done.incarnation.count if done.incarnation is not None else 0
        return {"cluster": plan.cluster, "life": number, "leads": True, "log_before": "beside the log, as log.before.N"}
    return {"cluster": plan.cluster, "life": done.life.count, "leads": False, "log_before": str(done.kept_in)}


def recovered(report: Facts) -> RenderableType:
    """The same for people."""
    then = "It leads already." if report["leads"] else "Start its daemon now."
    return Group(
        Text(f"This node is the only voter of life {report['life']} of cluster {report['cluster']}. {then}"),
        Text(f"Its log as it was: {report['log_before']}. The other survivors follow as soon as they reach it."),
    )


def _place(standing: LogStanding) -> Facts:
    return {
        "entry": standing.last_index,
        "term": standing.last_term,
        "acknowledged": standing.committed_index,
        "life": standing.incarnation.count if standing.incarnation is not None else 0,
        "leader": standing.leader_id,
    }


def _pairs(facts: Facts) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in facts.items():
        table.add_row(Text(name.replace("_", " "), style="bold"), Text(str(value)))
    return table


def _section(title: str, lines: tuple[str, ...], style: str) -> list[RenderableType]:
    if not lines:
        return []
    return [Text(f"\n{title}", style=f"bold {style}".strip()), *(Text(f"• {line}", style=style) for line in lines)]
