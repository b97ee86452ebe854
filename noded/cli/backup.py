"""What can be done with backups on a node: `noded backup FILE`, `noded backup verify FILE`, `noded restore FILE`."""

import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final

import click
import msgspec

from consensus.recovery.model import OpenBackupCall, OpenedBackup
from consensus.recovery.sealing import KEY_BYTES, PASSPHRASE_CHARS_MIN, Passphrase, PrivateKey, Recipient, new_recipient
from noded.cli import show_recovery
from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.core.errors import Invalid, Refused

UPLOAD_S_MAX: Final = 3600.0
PRIVATE: Final = 0o600

by_passphrase = click.option(
    "--passphrase-file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE",
    help="Where the passphrase stands, in the first line; - for standard input. Without it you are asked.",
)  # fmt: skip
by_key = click.option(
    "--key-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="The private key that `noded backup keygen` wrote, for a backup that was sealed for it.",
)  # fmt: skip


class _TakeByDefault(click.Group):
    """`noded backup FILE` means `noded backup take FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["take", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_TakeByDefault)
def backup() -> None:
    """Copies of the cluster's whole state: `noded backup FILE` takes one.

    The state is what the cluster knows: users, servers, networks, volumes' places. What is on the volumes is not in it.
    """


@backup.command("take")
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--to", metavar="URL", help="Put it there by HTTP PUT, such as a presigned S3 URL; @FILE reads the URL.")
@by_passphrase
@click.option("--recipient", metavar="KEY", help="Seal it for this public key (noded backup keygen) instead.")
@click.option("--stale", is_flag=True, help="Take what this node knows, although no majority can say that it is all.")
@as_json
@click.pass_obj
@plainly
def take(
    config: Config, file: Path | None, to: str | None, passphrase_file: Path | None, recipient: str | None,
    stale: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write a sealed copy of the whole state, of one moment, to FILE (- for standard output) or to a URL."""
    if (file is None) == (to is None):
        raise click.UsageError("Give a FILE or --to URL.")
    url = _url(to) if to is not None else ""
    secret = Recipient(_public_key(recipient)) if recipient else _new_passphrase(passphrase_file)
    call = OpenBackupCall(
        passphrase=secret.words if isinstance(secret, Passphrase) else None,
        recipient=secret.public_key if isinstance(secret, Recipient) else None,
        stale=stale,
    )
    opened = msgspec.msgpack.decode(
        ask(config.run, "recovery.open_backup", msgspec.msgpack.encode(call)), type=OpenedBackup
    )
    pieces = _pieces(config, opened.id)
    if to is not None:
        size, where = _upload(pieces, url), "the URL"
    else:
        assert file is not None
        size, where = _write(pieces, file), str(file)
    report = {"cluster": opened.cluster, "revision": opened.revision, "bytes": size, "file": where}
    if file is not None and str(file) == "-":
        click.echo(f"noded: revision {opened.revision} of cluster {opened.cluster}, {size} bytes", err=True)
    else:
        print_answer(msgspec.msgpack.encode(report), as_json, lambda: show_recovery.taken(report))


@backup.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@by_passphrase
@by_key
@as_json
@plainly
def verify(file: Path, passphrase_file: Path | None, key_file: Path | None, as_json: bool) -> None:
    """Read a backup from end to end, check every byte, and show what is in it. Needs no daemon and changes nothing."""
    from noded.cli import offline  # noqa: PLC0415  # the whole house: the other verbs must start at once

    header, digest, counts = offline.verify(file, _secret(passphrase_file, key_file))
    report = show_recovery.backup_facts(header) | {"digest": digest, "records": dict(sorted(counts.items()))}
    print_answer(msgspec.msgpack.encode(report), as_json, lambda: show_recovery.verified(report))


@backup.command("keygen")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@as_json
@plainly
def keygen(file: Path, as_json: bool) -> None:
    """Make a key pair: the private key goes to FILE, which you keep off the cluster; the public key is printed."""
    private, public = new_recipient()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    except OSError as fault:
        raise Invalid(f"{file} can't be made: {fault.strerror}.") from fault
    with os.fdopen(descriptor, "w") as written:
        written.write(b64encode(private.key).decode() + "\n")
    report = {"recipient": b64encode(public.public_key).decode(), "file": str(file)}
    print_answer(msgspec.msgpack.encode(report), as_json, lambda: report["recipient"])


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@by_passphrase
@by_key
@click.option("--plan", is_flag=True, help="Only say what would happen.")
@click.option("--force", is_flag=True, help="Also beside living members of that cluster; --plan says what is lost.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@as_json
@click.pass_obj
@plainly
def restore(
    config: Config, file: Path, passphrase_file: Path | None, key_file: Path | None, plan: bool, force: bool,
    yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Make this node, whose daemon is stopped, a cluster of its own from a backup; the other nodes then join it.

    What the node was before is set aside, not destroyed.
    """
    from noded.cli import offline  # noqa: PLC0415  # the whole house: the other verbs must start at once

    secret = _secret(passphrase_file, key_file)
    if not plan and not yes:
        survey, _ = offline.restore_here(config, file, secret, force=force, only_look=True)
        if not force:
            offline.refuse_beside_the_living(survey)
        click.echo(f"This makes this node a new life of cluster {survey.header.cluster_name}.", err=True)
        _confirm(survey.header.cluster_name)
    survey, begun = offline.restore_here(config, file, secret, force=force, only_look=plan)
    report = show_recovery.restoring_facts(survey, begun)
    print_answer(msgspec.msgpack.encode(report), as_json, lambda: show_recovery.restored(report))


def _confirm(cluster: str) -> None:
    """Have the cluster's name typed."""
    if not sys.stdin.isatty():
        raise Invalid("This needs a yes: give --yes, or run it on a terminal.")
    if click.prompt("Type the cluster's name to go on", err=True) != cluster:
        raise Invalid("That is not its name. Nothing was changed.")


def _pieces(config: Config, id: str) -> Iterator[bytes]:
    while piece := ask(config.run, "recovery.backup_piece", id.encode()):
        yield piece


def _write(pieces: Iterator[bytes], file: Path) -> int:
    """Write to standard output, or to a file that is there whole or not at all."""
    if str(file) == "-":
        return _drain(pieces, sys.stdout.buffer)
    if file.exists() and not file.is_file():  # a device or a pipe, such as /dev/stdout: never to be replaced
        with _told_of(file), file.open("wb") as opened:
            return _drain(pieces, opened)
    file = file.resolve()  # what a symbolic link leads to is replaced, and not the link
    temporary = file.with_name(f".{file.name}.part")
    try:
        with _told_of(file):
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
            with os.fdopen(descriptor, "wb") as written:
                size = _drain(pieces, written)
                os.fsync(written.fileno())
            temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return size


@contextmanager
def _told_of(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise Refused(f"{file} can't be written: {fault.strerror}.") from fault


def _drain(pieces: Iterator[bytes], file: BinaryIO) -> int:
    size = 0
    for piece in pieces:
        file.write(piece)
        size += len(piece)
    file.flush()
    return size


def _upload(pieces: Iterator[bytes], url: str) -> int:
    """PUT it. Object stores want to know the length first, so it is spooled to a file that has no name."""
    import httpx  # noqa: PLC0415  # the other verbs must start at once

    with TemporaryFile() as spool:
        size = _drain(pieces, spool)
        spool.seek(0)
        headers = {"content-length": str(size), "content-type": "application/octet-stream"}
        try:
            answer = httpx.put(url, content=spool, headers=headers, timeout=UPLOAD_S_MAX)
        except httpx.HTTPError as fault:
            raise Refused(f"The backup can't be put there: {fault}.") from fault
    if not answer.is_success:
        raise Refused(f"The backup was refused there: {answer.status_code} {answer.reason_phrase}.")
    return size


def _url(to: str) -> str:
    url = _first_line(Path(to[1:])) if to.startswith("@") else to
    if not url.startswith(("https://", "http://")):
        raise Invalid("--to takes an http or https URL, or @FILE with one.")
    return url


def _new_passphrase(file: Path | None) -> Passphrase:
    return _passphrase(file, lambda: click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True))


def _secret(passphrase_file: Path | None, key_file: Path | None) -> Passphrase | PrivateKey:
    if key_file is not None:
        return PrivateKey(_key(_first_line(key_file), f"{key_file} holds no key of `noded backup keygen`."))
    return _passphrase(passphrase_file, lambda: click.prompt("Passphrase", hide_input=True, err=True))


def _passphrase(file: Path | None, prompt: Callable[[], Any]) -> Passphrase:
    if file is None:
        if not sys.stdin.isatty():
            raise Invalid("Say where the passphrase stands: --passphrase-file FILE, or - for standard input.")
        words = str(prompt())
    elif str(file) == "-" and sys.stdin.isatty():
        words = str(prompt())  # not shown while it is typed
    elif str(file) == "-":
        words = sys.stdin.readline().rstrip("\n")
    else:
        words = _first_line(file)
    if len(words) < PASSPHRASE_CHARS_MIN:
        raise Invalid(f"A passphrase has at least {PASSPHRASE_CHARS_MIN} characters.")
    return Passphrase(words)


def _first_line(file: Path) -> str:
    try:
        return file.read_text().partition("\n")[0]
    except OSError as fault:
        raise Invalid(f"{file} can't be read: {fault.strerror}.") from fault
    except UnicodeDecodeError as fault:
        raise Invalid(f"{file} holds no text.") from fault


def _public_key(text: str) -> bytes:
    return _key(text, "--recipient takes a public key as `noded backup keygen` prints it.")


def _key(text: str, otherwise: str) -> bytes:
    try:
        key = b64decode(text, validate=True)
    except ValueError:  # not base64, or not even ASCII
        key = b""
    if len(key) != KEY_BYTES:
        raise Invalid(otherwise)
    return key
