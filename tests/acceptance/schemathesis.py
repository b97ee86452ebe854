"""Does any request make the gateway stumble? schemathesis draws them from the gateway's own description of itself.

    python -m tests.acceptance.schemathesis --requests 20000 [--seed 1] [--only TEXT]

The cloud is in memory, with simulated machines; requests are an administrator's, so that they come far. Half of them
are as the description says, half break it. Where a path or a body names a thing, often one that is there is put in. An
answer of 500 and more is a finding, but 503, which says why and may be tried again; so is one that does not come.
"""

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import requests
import schemathesis
import structlog
import trio
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from tests.scenarios.compute.stage import Stage
from tests.twins.whole import open_whole

ANSWER_S_MAX: Final = 3.0
GROUPS_A_CLOUD: Final = 3
ORDER: Final = ("post", "put", "patch", "get", "head", "delete")
OFTEN: Final = 0.75
MADE: Final = {201, 202}
KEPT_HEADERS: Final = {"content-type", "openstack-api-version"}
# What bodies call a thing, beside what paths do.
ALIASES: Final = {
    "imageRef": "image_id", "flavorRef": "flavor_id", "uuid": "network_id", "volumeId": "volume_id",
    "source_volid": "volume_id", "volume_type": "type_id", "key_name": "keypair_name", "net_id": "network_id",
    "default_project_id": "project_id", "parent_id": "project_id", "tenant_id": "project_id", "fixed_ip": "network_id",
}  # fmt: skip
# These stay open until something happens, or act on the process of a node.
LEFT_OUT: Final = ("/noded/v1/backup", "/noded/v1/watch")


class Loud:
    """Catches what the gateway says of its own faults."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def __call__(self, logger: object, method: str, event: Any) -> Any:
        if method in {"exception", "error"} or event.get("exc_info"):
            self.faults.append(traceback.format_exc())
        raise structlog.DropEvent


@dataclass
class Findings:
    """What was asked and what came of it."""

    asked: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    well: Counter[str] = field(default_factory=Counter)  # by operation, how often it did what was asked
    lacking: set[str] = field(default_factory=set)
    faults: dict[str, list[str]] = field(default_factory=dict)  # by where it happened: requests and the trace

    def note(self, where: str, request: str, trace: str) -> None:
        self.faults.setdefault(where, [trace]).append(request)


class Run:
    """One run: draws requests, asks them of one cloud after the other."""

    def __init__(self, wanted: int, number: int, only: str) -> None:
        self.found = Findings()
        self._wanted, self._number, self._only = wanted, number, only
        self._loud = Loud()
        self._dice = random.Random(number)
        self._stack = AsyncExitStack()
        self._stage: Stage | None = None
        self._known: dict[str, str] = {}

    async def run(self) -> Findings:
        """Ask them all."""
        structlog.configure(processors=[self._loud], cache_logger_on_first_use=False)
        await self._found_anew()
        try:
            assert self._stage is not None
            document = await self._stage.ask("GET", "/noded/v1/openapi.json", status=200)
            operations = self._operations(document)
            share = max(1, round(self._wanted / max(1, sum(map(len, operations))) / 2))
            self._dice.shuffle(operations)
            for number, group in enumerate(operations):
                if number % GROUPS_A_CLOUD == 0 and number:
                    await self._found_anew()
                for operation in group if self.found.asked < self._wanted else ():
                    for mode in GenerationMode:
                        await trio.to_thread.run_sync(self._draw, operation, mode, share)
        finally:
            await self._stack.aclose()
            structlog.reset_defaults()
        return self.found

    def _operations(self, document: dict[str, Any]) -> list[list[Any]]:
        """What is done to one kind of thing together: first it is made, and taken away last."""
        for verbs in document["paths"].values():
            for operation in verbs.values():
                for parameter in operation["parameters"]:
                    if parameter["in"] == "header":  # else most would speak the oldest version
                        word, highest = parameter["schema"]["examples"][0].split()
                        parameter["schema"]["enum"] = [f"{word} {version}" for version in (highest, "latest", "7.x")]
        schema = schemathesis.openapi.from_dict(document)
        operations = [found.ok() for found in schema.get_all_operations()]
        groups: dict[str, list[Any]] = {}
        for each in sorted(operations, key=lambda each: ORDER.index(each.method)):
            if self._only in each.label and not any(out in each.path for out in LEFT_OUT):
                groups.setdefault("/".join(each.path.split("/")[:4]), []).append(each)
        return list(groups.values())

    def _draw(self, operation: Any, mode: GenerationMode, share: int) -> None:
        """In a thread: hypothesis draws, the loop asks."""

        @seed(self._number)
        @settings(
            max_examples=share, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=HealthCheck
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def asked(case: Any) -> None:
            sent = case.as_transport_kwargs(base_url="https://cloud.test")
            trio.from_thread.run(self._ask, operation.label, operation.path, case.path_parameters or {}, sent)

        try:
            asked()
        except Exception as fault:  # a schema that nothing breaks can't be drawn from negatively
            if "Unsatisfiable" not in type(fault).__name__ and "Skip" not in type(fault).__name__:
                raise

    async def _found_anew(self) -> None:
        await self._stack.aclose()
        self._stack = AsyncExitStack()
        self._stage, self._known = await self._stack.enter_async_context(open_whole())
        self._loud.faults.clear()

    async def _ask(self, label: str, path: str, parts: dict[str, Any], sent: dict[str, Any]) -> None:
        assert self._stage is not None
        for name, value in parts.items():
            known = self._known.get(name) or self._any_known(path)
            is_there = known is not None and self._dice.random() < OFTEN
            path = path.replace(f"{{{name}}}", str(known) if is_there else str(value))  # drawn ones are quoted
        body = sent.get("json")
        if body is not None:
            self._put_known(body)
        headers = {name: value for name, value in sent["headers"].items() if name.lower() in KEPT_HEADERS}
        prepared = requests.Request(
            sent["method"], f"https://cloud.test{path}", params=sent.get("params"), headers=headers,
            json=body, data=sent.get("data"), files=sent.get("files"),
        ).prepare()  # fmt: skip
        content = prepared.body if isinstance(prepared.body, bytes) else (prepared.body or "").encode()
        headers = {**{name: str(value) for name, value in prepared.headers.items()}, **self._stage.headers}
        status = await self._status(str(prepared.method), str(prepared.url), content, headers)
        self.found.asked += 1
        self.found.statuses[status] += 1
        self.found.well[label] += 0 < status < 400
        if status == 401:  # the administrator is gone, or may no more: a cloud with another one
            await self._found_anew()

    async def _status(self, verb: str, url: str, content: bytes, headers: dict[str, str]) -> int:
        assert self._stage is not None
        status = 0
        with trio.move_on_after(ANSWER_S_MAX):
            try:
                head = {name: value.encode("utf-8", "replace").decode("latin-1") for name, value in headers.items()}
                answer = await self._stage.client.request(verb, url, content=content, headers=head)
                status = answer.status_code
                if status in MADE and answer.headers.get("content-type", "").startswith("application/json"):
                    self._learn(answer.json())
            except (httpx.InvalidURL, UnicodeEncodeError):
                return -1  # no client can send it
        asked = f"{verb} {url[:300]} {headers.get('OpenStack-API-Version', '')} {content[:1500]!r}"
        if self._loud.faults:
            trace = self._loud.faults[0]
            self._loud.faults.clear()
            if "core/reconciler.py" in _where(trace):  # this cloud has no twin of a driver that the handler asks for
                self.found.lacking.add(_where(trace).rsplit(" - ", 1)[1])
            else:
                self.found.note(_where(trace), asked, trace)
        elif status == 0 or (status >= 500 and status != 503):
            self.found.note(f"{status} without a trace: {verb} {url[:60]}", asked, "")
        return status

    def _learn(self, body: object) -> None:
        """What was made is there from now on."""
        for noun, made in body.items() if isinstance(body, dict) else ():
            if isinstance(made, dict) and isinstance(made.get("id"), str):
                self._known[f"{noun}_id"] = self._known[f"{noun.split('_')[-1]}_id"] = made["id"]

    def _any_known(self, path: str) -> str | None:
        """For a part that is only called `id`: by what stands before it."""
        before = path.split("{", maxsplit=1)[0].rstrip("/").split("/")[-1].replace("-", "_").rstrip("s")
        return self._known.get(f"{before}_id")

    def _put_known(self, body: object) -> None:
        """Often, what is named is there."""
        if isinstance(body, list):
            for each in body:
                self._put_known(each)
        elif isinstance(body, dict):
            for name, value in body.items():
                known = self._known.get(ALIASES.get(name, name))
                if isinstance(value, str) and known is not None and self._dice.random() < OFTEN:
                    body[name] = known
                else:
                    self._put_known(value)


def _where(trace: str) -> str:
    """The last line of the house in a trace, and what was raised."""
    lines = [line.strip() for line in trace.strip().splitlines()]
    places = [line for line in lines if line.lstrip("| ").startswith('File "') and "/site-packages/" not in line]
    return f"{places[-1].lstrip('| ') if places else '?'} - {lines[-1][:200]}"


def run(wanted: int, number: int, only: str = "") -> Findings:
    """Ask `wanted` requests."""
    return trio.run(Run(wanted, number, only).run)


def main() -> None:
    """Run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="Only operations that have this in `VERB PATH`.")
    arguments = parser.parse_args()
    started = time.monotonic()
    found = run(arguments.requests, arguments.seed, arguments.only)
    for where, (trace, *asked) in found.faults.items():
        print(f"== {len(asked)} times: {where}\n   {asked[0]}\n{trace}")
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(found.statuses.items()))
    print(f"{found.asked} requests in {time.monotonic() - started:.0f} s; answers {statuses}")
    never = sorted(label for label, count in found.well.items() if not count)
    print(f"{len(never)} of {len(found.well)} operations never did what was asked: {', '.join(never)}")
    if found.lacking:
        print(f"not asked whole, for want of twins in tests/twins/whole.py: {', '.join(sorted(found.lacking))}")
    print(f"{len(found.faults)} findings")
    sys.exit(bool(found.faults))


if __name__ == "__main__":
    main()
