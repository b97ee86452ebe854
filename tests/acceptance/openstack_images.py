"""Every verb of the `openstack` command about images, said to a cloud one after the other, in one process.

    python -m tests.acceptance.openstack_images --url URL --ca FILE    (of `python -m tests.twins.serve --stores`)

`--write-table` writes the table of verbs in docs/images.md, which a test holds true.
"""

import argparse
import io
import json
import os
import pty
import shlex
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TextIO

from tests.twins.cloud import ADMIN_PASSWORD

PAGE = Path(__file__).parents[2] / "docs" / "images.md"
BEGIN, END = "<!-- verbs -->\n", "<!-- end of verbs -->"
GROUP = "openstack.image.v2"
# What there is no thing for, and why.
ABSENT = dict.fromkeys(
    ("cached image clear", "cached image delete", "cached image list", "cached image queue"),
    "there is no cache: an image is on every node from the start",
)
# One line each; `= text` is in the answer, `> name` keeps its id for `{name}`.
LINES = """
project create other > project
image create --file {source} --property colour=red --tag warm --shared disk > disk = active
image list --property colour=red = disk
image show {disk} = red
image set --name renamed --property shape=round --tag cold --min-disk 1 {disk}
image unset --property colour --tag warm {disk}
image show {disk} = renamed
image save --file {target} {disk}
image set --deactivate {disk}
image set --activate {disk}
image add project {disk} {project}
image member list {disk} = pending
image member get {disk} {project} = pending
image set --project {project} --accept {disk}
image remove project {disk} {project}
image create --container-format bare --disk-format raw staged > staged = queued
image stage --file {source} {staged}
image import {staged}
image show {staged} = active
image create --import --file {source} both > both = active
image import --method copy-image --all-stores {disk}
image import info = web-download
image stores list = pool
image import --method copy-image --all-stores {staged}
image task list > task = success
image task show {task} = success
image import --method web-download --uri http://images.example.invalid/x {disk} ! queued
image metadef namespace create --public --description words things > things
image metadef namespace list = things
image metadef namespace set --display-name Things things
image metadef namespace show things = Things
image metadef property create --name size --title Size --type integer --schema {schema} things = size
image metadef property list things = size
image metadef property set --title Length things size
image metadef property show things size = Length
image metadef object create --namespace things box = box
image metadef object list things = box
image metadef object update things box
image metadef object show things box = box
image metadef object property show things box size ! size
image metadef resource type list = OS::Nova::Flavor
image metadef resource type association create things OS::Nova::Flavor
image metadef resource type association list things = OS::Nova::Flavor
image metadef resource type association delete things OS::Nova::Flavor
image metadef property delete things size
image metadef object delete things box
image metadef namespace unset --help
image metadef namespace delete things
image delete {disk} {staged} {both}
"""


def verbs() -> set[str]:
    """What the command says that it knows about images."""
    return {entry.name.replace("_", " ") for entry in entry_points(group=GROUP)}


def verb_of(line: str) -> str:
    """The verb that a line says: the longest one that it begins with."""
    return max((verb for verb in verbs() if f"{line} ".startswith(f"{verb} ")), key=len, default="")


def lines() -> list[str]:
    """The conversation."""
    return LINES.strip().splitlines()


def table() -> str:
    """Every verb, and whether it is said."""
    said = {verb_of(line) for line in lines()}
    rows = [f"| `{verb}` | {'✓' if verb in said else ABSENT.get(verb, 'not tried')} |" for verb in sorted(verbs())]
    return "\n".join(["| verb | said and answered |", "|---|---|", *rows]) + "\n"


def run(url: str, ca: str, words: list[str]) -> tuple[int, str]:
    """What the command's own shell answers, and its exit code."""
    from openstackclient.shell import OpenStackShell  # noqa: PLC0415  # it warns of its own parts

    head = [
        f"--os-auth-url={url}/identity/v3", "--os-username=admin", f"--os-password={ADMIN_PASSWORD}",
        "--os-project-name=admin", "--os-user-domain-id=default", "--os-project-domain-id=default",
        "--os-identity-api-version=3", f"--os-cacert={ca}",
    ]  # fmt: skip
    out, errors = io.StringIO(), io.StringIO()
    before, sys.stdin = sys.stdin, _terminal()  # what is not one is taken for the image's data
    with redirect_stdout(out), redirect_stderr(errors):
        try:
            code = OpenStackShell().run([*head, *words])
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdin = before
    return (code if isinstance(code, int) else 0), out.getvalue() + errors.getvalue()


@cache
def _terminal() -> TextIO:
    return os.fdopen(pty.openpty()[1])


def hold(url: str, ca: str, directory: Path) -> list[str]:
    """Say every line; what went wrong."""
    source, schema = directory / "source.img", directory / "schema.json"
    source.write_bytes(bytes(range(256)) * 1000)
    schema.write_text("{}")
    kept = {"source": str(source), "target": str(directory / "target.img"), "schema": "{}"}
    failed = []
    for line in lines():
        fails = " ! " in line
        words, _, rest = line.replace(" ! ", " = ").partition(" > " if " > " in line else " = ")
        name, _, wanted = rest.partition(" = ") if " > " in line else ("", "", rest)
        said = [kept.get(word[1:-1], word) if word.startswith("{") else word for word in shlex.split(words)]
        code, told = run(url, ca, [*said, *(["-f", "json"] if name else [])])
        if bool(code) is not fails or wanted not in told:
            failed.append(f"{line}\n    {' '.join(said)}: exit code {code}: {told.strip()[-400:]}")
        elif name:
            found = json.loads(told[min(place for place in map(told.find, "[{") if place >= 0) :])
            kept[name] = str(found.get("id", name) if isinstance(found, dict) else found[0]["ID"])
    if not failed and (directory / "target.img").read_bytes() != source.read_bytes():
        failed.append("image save: other bytes than were sent")
    return failed


def main() -> None:
    """Hold the conversation, and tell what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="")
    parser.add_argument("--ca", default="")
    parser.add_argument("--write-table", action="store_true")
    arguments: Any = parser.parse_args()
    if arguments.write_table:
        before, _, after = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{table()}{END}{after.partition(END)[2]}")
        return
    with tempfile.TemporaryDirectory() as directory:
        failed = hold(arguments.url, arguments.ca, Path(directory))
    for each in failed:
        print(f"FAILED {each}")
    said = {verb_of(line) for line in lines()} & verbs()
    print(f"{len(lines())} lines, {len(said)} of {len(verbs())} verbs, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
