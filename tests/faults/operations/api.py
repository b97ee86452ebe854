"""The cloud as its users reach it while parts of it die: short calls, of which any may fail, through any host."""

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.acceptance.clients import Person
from tests.lab.lab import LabHost

ANSWER_S_MAX = 60.0  # an examination takes two looks
PATIENCE_S = 60.0


class NotAnswered(Exception):
    """Nobody knows whether it was done."""


class RefusedCall(Exception):
    """It was not done."""


@dataclass
class Api:
    """One user's calls, each through the host that is named."""

    person: Person
    token: str

    @classmethod
    def of(cls, person: Person) -> "Api":
        return cls(person, str(person.connect().authorize()))

    def ask(self, host: LabHost, verb: str, path: str, body: object = None, version: str = "3.70") -> Any:
        """The answer's body. Raises `RefusedCall` for the cloud's no, `NotAnswered` where none came."""
        headers = {"X-Auth-Token": self.token}
        headers["OpenStack-API-Version"] = f"volume {version}" if path.startswith("/volume") else "compute 2.60"
        try:
            with httpx.Client(base_url=host.url, verify=self.person.tls(), timeout=ANSWER_S_MAX) as client:
                answer = client.request(verb, path, json=body, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            raise NotAnswered(f"{verb} {path}: {error!r}") from error
        if answer.status_code >= 500:
            raise NotAnswered(f"{verb} {path}: {answer.status_code} {answer.text[:200]}")
        if not answer.is_success:
            raise RefusedCall(f"{verb} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json() if answer.content else None

    def gone(self, hosts: list[LabHost], path: str) -> None:
        """Delete what is there; what is gone already, or may not go yet, stays as it is."""
        with contextlib.suppress(RefusedCall):
            self.surely(hosts, "DELETE", path)

    def surely(self, hosts: list[LabHost], verb: str, path: str, body: object = None) -> Any:
        """The same through one host after the other, until one answers."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for host in hosts:
                try:
                    return self.ask(host, verb, path, body)
                except NotAnswered as fault:
                    if time.monotonic() > deadline:
                        raise AssertionError(f"no host answers: {fault}") from fault
            time.sleep(0.3)
