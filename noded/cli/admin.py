"""What can be done for an administrator who is locked out: `noded admin <verb>`."""

import sys
from pathlib import Path

import click
import msgspec
from rich.text import Text

from noded.cli.asking import as_json, ask, plainly, print_answer
from noded.config import Config
from noded.core.dice import new_password
from noded.core.errors import Invalid

IMPORT_S_MAX = 120.0


@click.group()
def admin() -> None:
    """Rescue at a node's console, for root: everything else of users is the openstack command's."""


@admin.command("reset-password")
@click.argument("user", default="admin")
@click.option("--domain", default="default", show_default=True, help="The user's domain, by id or name.")
@click.option("--generate", is_flag=True, help="Draw a password and print it, instead of asking for one.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input, one line.")
@as_json
@click.pass_obj
@plainly
def reset_password(config: Config, user: str, domain: str, generate: bool, from_stdin: bool, as_json: bool) -> None:
    """Set the password of USER (admin), enable the user and end a lock. All tokens of the user end."""
    if generate and from_stdin:
        raise click.UsageError("--generate and --stdin exclude each other.")
    if generate:
        password = new_password()
    elif from_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    if not password:
        raise click.UsageError("The password is empty.")
    call = {"user": user, "domain": domain, "password": password}
    told = msgspec.msgpack.decode(ask(config.run, "identity.reset_password", msgspec.msgpack.encode(call)))
    answer = {**told, "password": password} if generate else told

    def words() -> Text:
        before = [word for word, was in (("disabled", not told["was_enabled"]), ("locked", told["was_locked"])) if was]
        said = f"{told['name']} has a new password" + (f" and is {' and '.join(before)} no more" if before else "")
        return Text(f"{said}: {password}" if generate else f"{said}.")

    print_answer(msgspec.msgpack.encode(answer), as_json, words)


@admin.command("import-users")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@as_json
@click.pass_obj
@plainly
def import_users(config: Config, file: Path, as_json: bool) -> None:
    """Make the users of FILE, a JSON list of {name, password_hash, domain, email, description, enabled}.

    Hashes of Keystone (bcrypt, scrypt, PBKDF2) let their users in, and are replaced at the first sign-in. Who is there
    already stays as they are.
    """
    try:
        users = msgspec.json.decode(file.read_bytes(), type=list[dict[str, object]])
    except (msgspec.DecodeError, OSError) as wrong:
        raise Invalid(f"{file} can't be read as a list of users: {wrong}.") from None
    answer = ask(config.run, "identity.import_users", msgspec.msgpack.encode(users), IMPORT_S_MAX)
    told = msgspec.msgpack.decode(answer)
    kept = f"; there already: {', '.join(told['were_there'])}" if told["were_there"] else ""
    print_answer(answer, as_json, lambda: Text(f"{told['imported']} users imported{kept}."))
