"""Runs every `openstack volume …` verb and writes docs/volume-verbs.md: `python -m tests.acceptance.volume_verbs`.

The unmodified client, in this process, speaks by TLS to a cloud in memory whose reconcilers work. A verb is ticked if
it ended as it should: most do what they say; what is not offered here is refused, and the page says with which words.
"""

import io
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

import structlog
import trio
from openstackclient.shell import OpenStackShell

from images.catalog.disks import CatalogDisks
from noded.reconcile.loop import keep_reconciling
from noded.services import SERVICES
from storage.volumes.links import ImageDisks
from tests.api.stores import admit_nodes
from tests.scenarios.compute.stage import open_stage
from tests.twins.cloud import ADMIN_PASSWORD, api_certificate, serving

PAGE = Path(__file__).resolve().parents[2] / "docs" / "volume-verbs.md"
HEAD = """# Every `openstack volume …` verb

Each was run by the unmodified client against a cloud in memory, and ended as this page says. It is written by

    python -m tests.acceptance.volume_verbs

| verb | |
|---|---|
"""
LATEST = "3.70"
MORE = ("consensus.members", "consensus.vault", "images.exports", "images.metadefs")  # than compute asks for
TRIES_MAX = 100
TRY_S = 0.1


def verbs() -> list[str]:
    """All verbs of block storage that the installed client knows, in their order."""
    names = {point.name for point in entry_points(group="openstack.volume.v3")}
    return sorted(name.replace("_", " ") for name in names)


@dataclass
class Client:
    """The client, and how each verb ended."""

    base: str
    authority: Path
    server_id: str
    ended: dict[str, str] = field(default_factory=dict)

    def run(self, words: Sequence[str], version: str) -> tuple[int, str, str]:
        """Its exit status, what it printed, and its complaints."""
        arguments = [
            f"--os-auth-url={self.base}/identity/v3", "--os-username=admin", f"--os-password={ADMIN_PASSWORD}",
            "--os-project-name=admin", "--os-user-domain-id=default", "--os-project-domain-id=default",
            "--os-identity-api-version=3", f"--os-cacert={self.authority}", f"--os-volume-api-version={version}",
        ]  # fmt: skip
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                status = OpenStackShell().run([*arguments, *words])
            except SystemExit as end:
                status = int(end.code or 0)
        return status, out.getvalue().strip(), err.getvalue().strip()

    def __call__(self, verb: str, *words: str, refused: str = "", why: str = "", version: str = LATEST) -> str:
        """Run a verb; what it printed. `refused`: words of the refusal that is due; `why`, in ours."""
        status, out, err = self.run([*verb.split(), *words], version)
        if refused:
            good = refused in err + out
            self.ended[verb] = f"not offered: {why or reason_in(err or out)}" if good else f"WRONG: {status} {err}"
        else:
            good = status == 0
            if self.ended.get(verb) in (None, "✓"):
                self.ended[verb] = "✓" if good else f"FAILED: {(err or out)[-300:]}"
        print(
            f"{'ok   ' if good else 'WRONG'} {verb} {' '.join(words)}", *([] if good else [err[-300:]]), file=sys.stderr
        )
        return out

    def id_of(self, verb: str, *words: str, version: str = LATEST) -> str:
        """Run a verb that shows what it made, or finds; its id."""
        return self(verb, *words, "-f", "value", "-c", "id", version=version)

    def until(self, noun: str, name: str, status: str) -> None:
        """Wait until it has that status."""
        for _ in range(TRIES_MAX):
            _, out, _ = self.run([*noun.split(), "show", name, "-f", "value", "-c", "status"], LATEST)
            if out == status:
                return
            trio.from_thread.run(trio.sleep, TRY_S)
        raise AssertionError(f"{noun} {name} is {out}, not {status}")


def reason_in(said: str) -> str:
    """The daemon's words, without the client's."""
    told = next(line for line in said.splitlines() if "Client Error for url: " in line)
    return told.rsplit("Client Error for url: ", 1)[-1].partition(", ")[2][:200]


def volumes(do: Client) -> None:
    do("volume create", "--size=1", "--property=a=b", "data")
    do.until("volume", "data", "available")
    do("volume show", "data")
    do("volume list", "--long")
    do("volume summary")
    do("volume set", "--name=words", "--property=c=d", "--image-property=os_type=linux", "--bootable", "data")
    do("volume unset", "--property=c", "--image-property=os_type", "words")
    do("volume set", "--name=data", "--size=2", "--read-only", "words")
    do("volume set", "--read-write", "data")
    do("volume snapshot create", "--volume=data", "first")
    do.until("volume snapshot", "first", "available")
    do("volume snapshot list")
    do("volume snapshot show", "first")
    do("volume snapshot set", "--name=one", "--property=a=b", "first")
    do("volume snapshot unset", "--property=a", "one")
    do("volume revert", "one")
    do("volume create", "--snapshot=one", "--size=2", "clone")
    do("volume delete", "clone")
    do("volume snapshot delete", "one")
    do("volume migrate", "--host=elsewhere@noded#pool", "data", refused="noded disk drain")
    do("block storage volume manageable list", "node1@noded#pool")
    do("block storage snapshot manageable list", "node1@noded#pool")


def kinds(do: Client) -> None:
    do("volume type create", "--property=replicas=2", "fast")
    do("volume type list", "--long")
    do("volume type show", "fast")
    do("volume type set", "--description=quick", "--property=a=b", "fast")
    do("volume type unset", "--property=a", "fast")
    do("volume type create", "--encryption-provider=luks", "--encryption-control-location=front-end", "safe")
    do("volume type show", "--encryption-type", "safe")
    do("volume create", "--size=1", "--type=safe", "secrets")
    do.until("volume", "secrets", "available")
    do("volume delete", "secrets")
    do("volume set", "--type=fast", "--retype-policy=on-demand", "data")
    do("volume qos create", "--consumer=front-end", "--property=total_iops_sec=500", "calm")
    do("volume qos list")
    do("volume qos show", "calm")
    do("volume qos set", "--property=total_iops_sec=600", "calm")
    do("volume qos unset", "--property=total_iops_sec", "calm")
    do("volume qos associate", "calm", "fast")
    do("volume qos disassociate", "calm", "--volume-type=fast")
    do("volume qos delete", "calm")
    do("volume type create", "idle")
    do("volume type delete", "idle")


def attachments(do: Client) -> None:
    server = do.server_id
    volume = do.id_of("volume show", "data")
    made = do("volume attachment create", volume, "--server", server, "-f", "value", "-c", "ID")
    do("volume attachment list")
    do("volume attachment show", made)
    do("volume attachment set", made, "--host=node1", "--mountpoint=/dev/vdb", "--initiator=iqn.x", "--ip=10.0.0.9")
    do("volume attachment complete", made)
    do("volume attachment delete", made)


def backups(do: Client) -> None:
    do("volume backup create", "--name=monday", "data")
    do.until("volume backup", "monday", "available")
    do("volume backup list")
    do("volume backup show", "monday")
    do("volume backup set", "--name=tuesday", "--property=a=b", "monday")
    do("volume backup unset", "--property=a", "tuesday")
    do("volume backup restore", "tuesday", "again")
    do.until("volume", "again", "available")
    service, metadata = do(
        "volume backup record export", "tuesday", "-f", "value", "-c", "backup_service", "-c", "backup_url"
    ).splitlines()
    do(
        "volume backup record import", service, metadata, refused="POST is not allowed here",
        why="this client sends its own path instead of the record; the API's is tested in tests/api/test_backups.py",
    )  # fmt: skip
    do("volume backup delete", "tuesday")


def groups(do: Client) -> None:
    do("volume group type create", "kind")
    do("volume group type list")
    do("volume group type show", "kind")
    do("volume group type set", "--description=words", "--property=a=b", "kind")
    do("volume group create", "--volume-group-type=kind", "--volume-type=fast", "--name=both")
    do("volume group list")
    do("volume group show", "both")
    do("volume group set", "--description=words", "both")
    do("volume group add volume", "both", "data")
    do("volume group remove volume", "both", "data")
    do("volume group type set", "--property=consistent_group_snapshot_enabled=<is> True", "kind")
    do("volume group add volume", "both", "data")
    do("volume group snapshot create", "--name=then", "both")
    do.until("volume group snapshot", "then", "available")
    do("volume group snapshot list")
    do("volume group snapshot show", "then")
    do("volume group snapshot delete", "then")
    do(
        "volume group failover",
        "both",
        refused="modify_body_for_action",
        why="this client sends words of its own along",
    )
    do("volume group remove volume", "both", "data")
    do("volume group delete", "both")
    do("volume group type create", "other")
    do("volume group type delete", "other")
    for verb, words in (
        ("create", ("--volume-type=fast", "old")), ("list", ()), ("show", ("old",)), ("set", ("--name=new", "old")),
        ("delete", ("old",)), ("add volume", ("old", "data")), ("remove volume", ("old", "data")),
        ("snapshot create", ("--consistency-group=old", "s")), ("snapshot list", ()), ("snapshot show", ("s",)),
        ("snapshot delete", ("s",)),
    ):  # fmt: skip
        why = "they were Cinder's before groups: use `volume group`"
        do(f"consistency group {verb}", *words, refused="There is nothing at", why=why)


def operators(do: Client) -> None:
    do("volume service list", "--long")
    do("volume service set", "--disable", "--disable-reason=moved", "node1@noded", "cinder-volume")
    do("volume service set", "--enable", "node1@noded", "cinder-volume")
    do("volume backend pool list", "--long")
    do("volume backend capability show", "node1@noded#pool")
    do("volume host set", "--disable", "node1@noded")
    do("volume host set", "--enable", "node1@noded")
    do("volume host failover", "--volume-backend=elsewhere", "node1@noded", refused="no other backend")
    do("block storage cluster list")
    do(
        "block storage cluster show",
        "c",
        refused="could not be found",
        why="there are no clusters: nodes serve their own disks",
    )
    do(
        "block storage cluster set", "c", "--enable", refused="could not be found",
        why="there are no clusters: nodes serve their own disks",
    )  # fmt: skip
    do("block storage log level list", refused="journalctl")
    do("block storage log level set", "debug", refused="journalctl")
    do("block storage resource filter list")
    do("block storage resource filter show", "volume")
    do("block storage cleanup", "--binary=cinder-volume", "--host=node1@noded", "--cluster=")
    do("volume transfer request create", "--name=gift", "again")
    do("volume transfer request list")
    do("volume transfer request show", "gift")
    do("volume transfer request delete", "gift")
    made = do("volume transfer request create", "again", "-f", "value", "-c", "id", "-c", "auth_key").splitlines()
    key, transfer = sorted(made, key=len)
    do("volume transfer request accept", f"--auth-key={key}", transfer)
    do("volume type create", "--property=volume_backend_name=elsewhere", "impossible")
    do("volume create", "--size=1", "--type=impossible", "lost")
    message = do("volume message list", "-f", "value", "-c", "ID").splitlines()[0]
    do("volume message show", message)
    do("volume message delete", message)


def page(ended: dict[str, str]) -> str:
    """The table."""
    return HEAD + "".join(f"| `{verb}` | {ended.get(verb, 'not run')} |\n" for verb in verbs())


async def _run(directory: Path) -> dict[str, str]:
    more = [service for service in SERVICES if service.name in MORE]
    async with open_stage(more=more) as stage, trio.open_nursery() as nursery:
        await admit_nodes(stage.cloud)
        context, authority = api_certificate(directory)
        server_id = await stage.create("server")
        await stage.settle()
        for node, drivers in stage.cloud.shared.drivers.items():
            if node in stage.machines:
                drivers.add(ImageDisks, CatalogDisks())
                cluster = stage.cloud.shared.cluster(node)
                for service in SERVICES:
                    if service.name.startswith(("storage.", "consensus.vault", "compute.attachments")):
                        for make in service.reconcilers:
                            nursery.start_soon(keep_reconciling, make(cluster, drivers), cluster)
        async with serving(stage.cloud, context) as base:
            client = Client(base, authority, server_id)
            for part in (volumes, kinds, attachments, backups, groups, operators):
                try:
                    await trio.to_thread.run_sync(partial(part, client))
                except Exception as fault:  # the page says which verbs were not reached
                    print(f"WRONG {part.__name__}: {fault!r}", file=sys.stderr)
        nursery.cancel_scope.cancel()
    return client.ended


def main() -> None:
    """Run them all and write the page. Exit status 1 where one did not end as it should."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # what is on stdout is the client's
    with tempfile.TemporaryDirectory() as directory:
        ended = trio.run(_run, Path(directory))
    PAGE.write_text(page(ended))
    wrong = [verb for verb in verbs() if ended.get(verb, "not run").split(":")[0] in ("not run", "FAILED", "WRONG")]
    print(
        f"{len(verbs()) - len(wrong)} of {len(verbs())} verbs ended as they should; not: {', '.join(wrong) or 'none'}"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
