"""How does a machine get into a cluster, and who lets it in? `noded claim`, `approve`, `join`, `join-requests`."""

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from consensus.discovery import short_words
from consensus.doors.model import LetIn
from consensus.doors.token import TEXT_CHARS_MAX
from consensus.entering import EntryStatus
from noded.cli.asking import as_json, ask, plainly, print_answer, read_note
from noded.config import Config
from noded.core.times import zulu

JOIN_S_MAX = 110.0  # several addresses may have to be tried, and members dial back


@click.command()
@click.option("--create", "cluster", metavar="NAME", help="Make a new cluster of this node, and call it NAME.")
@as_json
@click.pass_obj
@plainly
def claim(config: Config, cluster: str | None, as_json: bool) -> None:
    """Show how this unclaimed node can be claimed: its page, its claim code, the clusters in sight, the last faults."""
    if cluster is not None:
        answer = ask(config.run, "entry.create", cluster.encode())
        password = config.state / "admin-password"
        done = f"Cluster {cluster} is being made. The password of its user admin will stand in {password}."
        print_answer(answer, as_json, lambda: Text(done))
        return
    answer = ask(config.run, "entry.status")
    note = read_note(config.state)
    away = f"  stays away   {note['why']} To let it join by its doors again: noded node rejoin" if note else ""
    print_answer(answer, as_json, lambda: _claim(msgspec.msgpack.decode(answer, type=EntryStatus), away))


@click.command()
@click.argument("words")
@click.option("--claim-code", is_flag=True, help="WORDS is a node, by name or id; ask for its claim code.")
@click.option("--address", "addresses", multiple=True, help="With --claim-code: where the node is, if not in sight.")
@as_json
@click.pass_obj
@plainly
def approve(config: Config, words: str, claim_code: bool, addresses: tuple[str, ...], as_json: bool) -> None:
    """Say yes to a join whose WORDS are the same on both sides. Run it on a member and on the node that joins.

    With --claim-code, on a member, the code that the node's console shows is asked for, and admits it in one step.
    """
    if claim_code:
        code = click.prompt("Claim code", hide_input=True, err=True)
        order = LetIn(node=words, claim_code=code, addresses=addresses)
    else:
        order = LetIn(node="", words=words)
    answer = ask(config.run, "doors.approve", msgspec.msgpack.encode(order), JOIN_S_MAX)
    print_answer(answer, as_json, lambda: Text(_approved(msgspec.msgpack.decode(answer))))


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@as_json
@click.pass_obj
@plainly
def join(config: Config, file: Path, as_json: bool) -> None:
    """Join a cluster by the token in FILE, or on standard input if that is `-`; never on the command line itself."""
    if str(file) == "-":
        text = sys.stdin.read(TEXT_CHARS_MAX)
    elif file.is_file():
        with file.open() as opened:
            text = opened.read(TEXT_CHARS_MAX)
    else:
        # What was given may be a token: it must not be repeated.
        raise click.UsageError("No such file. Give a file with the token in it, or - and the token on standard input.")
    answer = ask(config.run, "entry.join", text.strip().encode(), JOIN_S_MAX)
    cluster = msgspec.msgpack.decode(answer)["cluster"]
    print_answer(answer, as_json, lambda: Text(f"This node is a member of cluster {cluster} now."))


@click.command("join-requests")
@as_json
@click.pass_obj
@plainly
def join_requests(config: Config, as_json: bool) -> None:
    """List the nodes that wait for a yes at any member, and those that announce themselves as unclaimed."""
    show_requests(config, as_json)


def show_requests(config: Config, as_json: bool) -> None:
    """What `noded join-requests` and `noded node pending` show."""
    answer = ask(config.run, "doors.requests")
    print_answer(answer, as_json, lambda: _requests(msgspec.msgpack.decode(answer)))


def show_refusals(config: Config, as_json: bool) -> None:
    """What `noded node refusals` shows."""
    answer = ask(config.run, "doors.refusals")
    print_answer(answer, as_json, lambda: _refusals(msgspec.msgpack.decode(answer)))


def _approved(answer: dict[str, object]) -> str:
    if answer.get("admitted"):
        return f"Node {answer['admitted']} is admitted."
    if "agreed" in answer:
        return "Agreed on this side. The node joins as soon as a member has approved it too."
    return "Approved. The node joins as soon as somebody says yes on its own side: `noded approve` there."


def _claim(found: EntryStatus, away: str) -> RenderableType:
    lines: list[RenderableType] = [
        Text(f"{found.name} belongs to no cluster yet. Node {found.node_id}, release {found.release}"),
        Text(f"  page         {found.url}"),
        Text(f"  key          {short_words(found.fingerprint)}  {found.fingerprint}"),
    ]
    if away:
        lines.append(Text(away, "yellow"))
    if found.claim_code:
        lines.insert(2, Text.assemble("  claim code   ", (found.claim_code, "bold")))
    else:
        waits = (
            f"  waits for    cluster {found.seed_cluster}: sees {found.sees} of {found.expect} nodes with its secret"
        )
        lines.append(Text(waits))
    for offer in found.offers:
        state = "agreed here" if offer.agreed else f"noded approve {offer.words}"
        approved = "approved there" if offer.approved else "not approved there yet"
        lines.append(
            Text.assemble(
                f"  in sight     cluster {offer.cluster_name} ({offer.cluster_id[:12]}): words ",
                (offer.words, "bold"),
                f"; {state}; {approved}" + (f"; in the way: {offer.misfit}" if offer.misfit else ""),
            )
        )
    if found.twin:
        lines.append(
            Text(f"  copied disk? another machine, at {found.twin}, announces this node's identity", "bold red")
        )
    lines += [
        Text(f"  {zulu(fault.at_ms)}  {fault.door} door, {fault.by}: {fault.reason} ({fault.count} times)", "yellow")
        for fault in found.faults
    ]
    return Group(*lines)


def _requests(found: dict[str, list[dict[str, object]]]) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for column in ("node", "words", "address", "state", "release", "id"):
        table.add_column(column, overflow="fold")
    waiting = set()
    for each in found["requests"]:
        waiting.add(each["id"])
        yes = [side for side, said in (("here", each["approved"]), ("there", each["agreed"])) if said]
        state = f"misfit: {each['misfit']}" if each["misfit"] else f"yes {' and '.join(yes) or 'nowhere yet'}"
        table.add_row(*map(Text, _cells(each, str(each["words"]), state)))
    for each in found["unclaimed"]:
        if each["id"] not in waiting:
            state = f"has a seed for {each['cluster']}" if each["cluster"] else "only announced"
            table.add_row(*map(Text, _cells(each, "-", state)))
    return table


def _cells(each: dict[str, object], words: str, state: str) -> tuple[str, ...]:
    addresses = each["addresses"]
    assert isinstance(addresses, list)
    return str(each["name"]), words, ", ".join(addresses), state, str(each["release"]), str(each["id"])


def _refusals(found: dict[str, list[dict[str, object]]]) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for column in ("last", "node", "port", "from", "count", "what", "detail"):
        table.add_column(column, overflow="fold")
    for each in found["refusals"]:
        cells = (each["last_at"], each["node_name"] or each["node"], each["port"], each["address"], each["count"])
        table.add_row(*(Text(str(cell)) for cell in (*cells, each["kind"], each["detail"])))
    return table
