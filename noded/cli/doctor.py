"""`noded doctor`: is the cloud as its records say? Its exit code says so too."""

import sys

import click
import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.doctor.model import Examination

FOUND = 4
LOOKS_S_MAX = 60.0  # two looks at every node, of which each may take its time


@click.command()
@as_json
@click.pass_obj
@plainly
def doctor(config: Config, as_json: bool) -> None:
    """Compare every node's machine with the records, and say what does not match: what, why, how to mend it.

    Changes nothing. Exit code 4 if anything was found.
    """
    answer = ask(config.run, "doctor.examine", limit_s=LOOKS_S_MAX)
    found = msgspec.msgpack.decode(answer, type=Examination)
    print_answer(answer, as_json, lambda: examination_text(found))
    if found.findings:
        sys.exit(FOUND)


def examination_text(found: Examination) -> RenderableType:
    """Three lines a finding."""
    asked = f"{len(found.nodes)} nodes looked at ({', '.join(found.nodes)}), revision {found.revision}"
    if not found.findings:
        return Text(f"Everything is as the records say. {asked}.", style="green")
    lines = []
    for finding in found.findings:
        where = f" [node {finding.node_id[:12]}]" if finding.node_id else ""
        lines.append(Text(f"! {finding.kind}: {finding.what}{where}", style="yellow"))
        lines.append(Text(f"    why:  {finding.why}"))
        lines.append(Text(f"    mend: {finding.mend}"))
    count = len(found.findings)
    return Group(
        *lines, Text(f"{count} {'thing does' if count == 1 else 'things do'} not match. {asked}.", style="bold")
    )
