"""Every verb of the `openstack` command about identity, said to a cloud as a person would, one after the other.

    python -m tests.acceptance.openstack_identity --url URL --ca FILE      (a cloud of `python -m tests.twins.serve`)

The verbs are those that python-openstackclient itself lists; a test holds the conversation complete. All are said in
one process, as in the command's own shell, since starting it takes a second.
"""

import argparse
import io
import json
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tests.twins.cloud import ADMIN_PASSWORD

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
BEGIN, END = "<!-- verbs of identity -->", "<!-- end -->"
GROUP = "openstack.identity.v3"

# One line each: what is said; `> name` keeps the id of what was made, `{name}` says it again, `= text` is answered.
LINES = """
token issue = project_id
catalog list = identity
catalog show identity = RegionOne
domain create --description north north > domain
domain set --name northern {domain}
domain show {domain} = northern
domain list = northern
project create --domain {domain} --property color=red --tag warm lab > project
project create --domain {domain} --parent {project} below > below
project set --name labs --tag cold --property color=blue {project}
project show {project} = blue
project list --domain {domain} --tags warm = labs
user create --domain {domain} --password secret-1 --email ann@example.org --project {project} ann > user
user create --domain {domain} --password secret-1 bob > other
user set --email a@example.org --enable-lock-password {user}
user set --disable-lock-password {user}
user show {user} = a@example.org
user list --domain {domain} = ann
group create --domain {domain} crew > group
group set --description all {group}
group show {group} = all
group add user {group} {user}
group contains user {group} {user} = in group
group list --user {user} = crew
group remove user {group} {user}
role create --description looks watcher > role
role set --name warden {role}
role show {role} = warden
role list = warden
implied role create --implied-role reader {role} = implies
implied role list = reader
role add --user {user} --project {project} {role}
role add --group {group} --domain {domain} reader
role add --user {user} --system all reader
role add --user {user} --project {project} --inherited reader
role assignment list --user {user} --names = warden
role assignment list --effective --user {user} = {user}
role remove --user {user} --system all reader
implied role delete --implied-role reader {role}
region create --description far far > region
region set --description farther {region}
region show {region} = farther
region list = farther
service create --name counter --description counts counting > service
service set --description tallies {service}
service show {service} = tallies
service list = counting
endpoint create --region {region} {service} public https://counter.example > endpoint
endpoint set --url https://counter.example/v2 {endpoint}
endpoint show {endpoint} = https://counter.example/v2
endpoint list --service {service} = counter.example
endpoint add project {endpoint} {project}
endpoint list --project {project} = counter.example
endpoint remove project {endpoint} {project}
endpoint group create all-counters {filters} > endpoints
endpoint group set --description counters {endpoints}
endpoint group show {endpoints} = counters
endpoint group list = all-counters
endpoint group add project {endpoints} {project}
endpoint group list --project {project} = all-counters
endpoint group remove project {endpoints} {project}
endpoint group delete {endpoints}
registered limit create --service {service} --default-limit 10 --region {region} cores > registered
registered limit set --default-limit 20 {registered}
registered limit show {registered} = 20
registered limit list = cores
limit create --project {project} --service {service} --region {region} --resource-limit 5 cores > limit
limit set --resource-limit 6 {limit}
limit show {limit} = 6
limit list = cores
limit delete {limit}
registered limit delete {registered}
policy create {blob} > policy
policy set --type application/yaml {policy}
policy show {policy} = application/yaml
policy list = application/yaml
policy delete {policy}
credential create --type cert {user} BLOB > credential
credential set --user {user} --type cert --data OTHER {credential}
credential show {credential} = OTHER
credential list = OTHER
credential delete {credential}
ec2 credentials create > ec2
ec2 credentials list = {ec2}
ec2 credentials show {ec2} = secret
ec2 credentials delete {ec2}
application credential create --secret s --role reader --access-rules {rules} robot > robot
application credential list = robot
application credential show {robot} = reader
access rule list = /v2.1/servers
access rule show {rule} = GET
application credential delete {robot}
access rule delete {rule}
consumer create --description them > consumer
consumer set --description those {consumer}
consumer show {consumer} = those
consumer list = those
request token create --consumer-key {consumer} --consumer-secret {consumer_secret} --project admin > request
request token authorize --request-key {request} --role admin = oauth_verifier
access token create --consumer-key {consumer} --consumer-secret {consumer_secret} --request-key {request}\
 --request-secret {request_secret} --verifier {verifier} = secret
consumer delete {consumer}
trust create --project admin --role admin admin {other} > trust
trust list = {trust}
trust show {trust} = admin
trust delete {trust}
identity provider create --remote-id https://idp.example --description door door > provider
identity provider set --description gate {provider}
identity provider show {provider} = gate
identity provider list = gate
mapping create --rules {mapping_rules} everyone > mapping
mapping set --rules {mapping_rules} {mapping}
mapping show {mapping} = REMOTE_USER
mapping list = everyone
federation protocol create --identity-provider {provider} --mapping {mapping} openid > protocol
federation protocol set --identity-provider {provider} --mapping {mapping} openid
federation protocol show --identity-provider {provider} openid = everyone
federation protocol list --identity-provider {provider} = openid
federation protocol delete --identity-provider {provider} openid
federation domain list
federation project list
mapping delete {mapping}
identity provider delete {provider}
service provider create --auth-url https://sp.example/auth --service-provider-url https://sp.example/sp sp > sp
service provider set --description there {sp}
service provider show {sp} = there
service provider list = there
service provider delete {sp}
token revoke {token}
user password set --original-password {password} --password other-password-2
endpoint delete {endpoint}
service delete {service}
region delete {region}
role remove --user {user} --project {project} {role}
role delete {role}
group delete {group}
user delete {user} {other}
project delete {below} {project}
domain set --disable {domain}
domain delete {domain}
"""
FILES = {
    "filters": {"service_id": "x"},
    "blob": {"rule": "role:admin"},
    "rules": [{"service": "compute", "method": "GET", "path": "/v2.1/servers"}],
    "mapping_rules": [
        {"local": [{"user": {"name": "{0}"}, "group": {"id": "x"}}], "remote": [{"type": "REMOTE_USER"}]}
    ],
}


@cache
def verbs() -> frozenset[str]:
    """What the command says that it knows about identity."""
    return frozenset(entry.name.replace("_", " ") for entry in entry_points(group=GROUP))


def verb_of(line: str) -> str:
    """The verb that a line says: the longest one that it begins with."""
    words = line.split(" = ", maxsplit=1)[0].split(" > ", maxsplit=1)[0]
    return max((verb for verb in verbs() if f"{words} ".startswith(f"{verb} ")), key=len, default="")


def lines() -> list[str]:
    """The conversation."""
    return [line for line in LINES.replace("\\\n", "").strip().splitlines() if line]


@dataclass
class Talk:
    """One person's conversation with a cloud."""

    url: str
    ca: str
    directory: Path
    kept: dict[str, str] = field(default_factory=lambda: {"password": ADMIN_PASSWORD})
    failed: list[str] = field(default_factory=list)
    _shell: Any = None

    def hold(self) -> None:
        """Say every line; what went wrong is in `failed`."""
        for name, content in FILES.items():
            file = self.directory / f"{name}.json"
            file.write_text(json.dumps(content))
            self.kept[name] = str(file)
        for line in lines():
            self.say(line)

    def say(self, line: str) -> None:
        words, _, wanted = line.partition(" = ")
        words, _, name = words.partition(" > ")
        said = [self.kept.get(word[1:-1], word) if word.startswith("{") else word for word in words.split()]
        code, told = self._run(said)
        wanted = self.kept.get(wanted[1:-1], wanted) if wanted.startswith("{") else wanted
        if code or wanted not in told:
            self.failed.append(f"{line}\n    {' '.join(said)}: exit code {code}: {told.strip()[-400:]}")
        else:
            self._keep(name, words, told)

    def _keep(self, name: str, words: str, told: str) -> None:
        found = json.loads(told) if told.startswith(("{", "[")) else None
        if isinstance(found, dict):
            id = next((found[key] for key in ("id", "access", "ID", "region") if key in found), "")
            if name:
                self.kept[name] = str(id)
            if "secret" in found:
                self.kept[f"{words.split(maxsplit=1)[0]}_secret"] = str(found["secret"])
            if "oauth_verifier" in found:
                self.kept["verifier"] = str(found["oauth_verifier"])
            if words == "token issue":
                self.kept["token"] = str(found["id"])
        elif isinstance(found, list) and words.startswith("access rule list"):
            self.kept["rule"] = str(found[0]["ID"])
        if words.startswith("user password set"):
            self.kept["password"] = "other-password-2"
        if words.startswith(("user password set", "token revoke")):
            self._shell = None  # who was signed in is so no more

    def _run(self, said: list[str]) -> tuple[int, str]:
        from openstackclient.shell import OpenStackShell  # noqa: PLC0415  # it warns of its own parts

        words = [*said, "-f", "json"] if self._prints(said) else said
        out, errors = io.StringIO(), io.StringIO()
        before, sys.stdout = sys.stdout, out
        err, sys.stderr = sys.stderr, errors
        try:
            if self._shell is None:
                self._shell = OpenStackShell()
                code = self._shell.run([*self._head(), *words])
            else:  # as in the shell that it is without a verb: signed in already
                self._shell.stdout = out
                code = self._shell.run_subcommand(words)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout, sys.stderr = before, err
        if not isinstance(code, int):  # `federation protocol set` ends with what it set, as if that were a fault
            code = 0
        return code, out.getvalue() + (errors.getvalue() if code else "")

    def _head(self) -> list[str]:
        return [
            f"--os-auth-url={self.url}/identity/v3", "--os-username=admin", f"--os-password={self.kept['password']}",
            "--os-project-name=admin", "--os-user-domain-id=default", "--os-project-domain-id=default",
            "--os-identity-api-version=3", f"--os-cacert={self.ca}",
        ]  # fmt: skip

    def _prints(self, said: list[str]) -> bool:
        """Whether the verb prints a table, which may be JSON."""
        verb = verb_of(" ".join(said))
        return verb.rsplit(" ", 1)[-1] in {"create", "show", "list", "issue", "authorize"}


def table() -> str:
    """Every verb with the line that says it, for the page of clients."""
    said = {verb_of(line): line for line in reversed(lines())}
    rows = [f"| `{verb}` | {'✓' if verb in said else ''} |" for verb in sorted(verbs())]
    return "\n".join(["| verb | said and answered |", "|---|---|", *rows]) + "\n"


def write_table() -> None:
    """Put the table into the page of clients, in place of the one there."""
    before, _, after = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}{END}{after.partition(END)[2]}")


def hold(url: str, ca: str) -> list[str]:
    """What went wrong."""
    with tempfile.TemporaryDirectory() as directory:
        talk = Talk(url, ca, Path(directory))
        talk.hold()
        return talk.failed


def main() -> None:
    """Hold the conversation, and tell what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="")
    parser.add_argument("--ca", default="")
    parser.add_argument("--write-table", action="store_true", help="Only write the table of verbs in docs/clients.md.")
    arguments: Any = parser.parse_args()
    if arguments.write_table:
        write_table()
        return
    failed = hold(arguments.url, arguments.ca)
    for each in failed:
        print(f"FAILED {each}")
    said = {verb_of(line) for line in lines()}
    print(f"{len(lines())} lines, {len(said)} of {len(verbs())} verbs, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
