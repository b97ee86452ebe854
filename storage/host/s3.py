"""How does one speak to an object store by S3? The five requests that are needed, signed (AWS Signature Version 4).

Path-style addresses (`https://host/bucket/key`), which every store understands. Blocking: for a worker thread.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from hmac import HMAC
from typing import Final
from urllib.parse import quote, urlencode, urlsplit
from xml.sax.saxutils import unescape

import httpx

from noded.core.errors import Invalid, Unavailable
from storage.backups.links import S3Place

REQUEST_S_MAX: Final = 120.0
TRIES_MAX: Final = 4
_EMPTY: Final = sha256(b"").hexdigest()


class Bucket:
    """One bucket."""

    def __init__(self, place: S3Place) -> None:
        self._place = place
        self._host = urlsplit(place.url).netloc
        self._client = httpx.Client(timeout=REQUEST_S_MAX)

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def put(self, key: str, content: bytes) -> None:
        """Store an object; whole and durable when it returns."""
        self._ask("PUT", key, content=content)

    def get(self, key: str) -> bytes | None:
        """An object's bytes; None where there is none."""
        answer = self._ask("GET", key, missing_ok=True)
        return None if answer is None else answer.content

    def delete(self, key: str) -> None:
        """Remove an object. Again: nothing."""
        self._ask("DELETE", key, missing_ok=True)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`."""
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
            answer = self._ask("GET", "", query=query)
            assert answer is not None
            yield from (unescape(key) for key in re.findall(r"<Key>([^<]*)</Key>", answer.text))
            following = re.search(r"<NextContinuationToken>([^<]*)</NextContinuationToken>", answer.text)
            if following is None:
                return
            token = unescape(following[1])

    def _ask(
        self, verb: str, key: str, *, query: Mapping[str, str] | None = None, content: bytes = b"",
        missing_ok: bool = False,
    ) -> httpx.Response | None:  # fmt: skip
        """Ask, a few times if need be: object stores answer "slow down", and connections break."""
        path = quote(f"{urlsplit(self._place.url).path.rstrip('/')}/{self._place.bucket}/{key}".rstrip("/"), safe="/~")
        fault = ""
        for _ in range(TRIES_MAX):
            signed = sign(self._place, verb, self._host, path, query or {}, content, datetime.now(UTC))
            url = f"{urlsplit(self._place.url).scheme}://{self._host}{path}" + (f"?{_query(query)}" if query else "")
            try:
                answer = self._client.request(verb, url, content=content, headers=signed)
            except httpx.HTTPError as error:
                fault = str(error) or type(error).__name__
                continue
            if answer.is_success:
                return answer
            code = re.search(r"<Code>([^<]*)</Code>", answer.text)
            fault = f"{answer.status_code} {code[1] if code else answer.reason_phrase}"
            if missing_ok and code is not None and code[1] == "NoSuchKey":
                return None
            if answer.is_client_error and not _worth_trying_again(answer.status_code):
                raise Invalid(f"The object store at {self._place.url} refuses bucket {self._place.bucket}: {fault}.")
        raise Unavailable(f"The object store at {self._place.url} can't be used: {fault}.")


class S3Objects:
    """Implements `Objects`: keys `<container>/<location>/<index>` of a bucket."""

    def __init__(self, place: S3Place, location: str) -> None:
        self._bucket = Bucket(place)
        self._prefix = f"{place.container}/{location}/"

    def put(self, index: int, content: bytes) -> None:
        """See `Objects.put`."""
        self._bucket.put(self._prefix + f"{index:08d}", content)

    def get(self, index: int) -> bytes | None:
        """See `Objects.get`."""
        return self._bucket.get(self._prefix + f"{index:08d}")

    def clear(self) -> None:
        """See `Objects.clear`."""
        for key in list(self._bucket.keys(self._prefix)):
            self._bucket.delete(key)

    def close(self) -> None:
        """Hang up."""
        self._bucket.close()


def sign(
    place: S3Place, verb: str, host: str, path: str, query: Mapping[str, str], content: bytes, now: datetime
) -> dict[str, str]:
    """The headers of a signed request (AWS, "Authenticating Requests: Using the Authorization Header")."""
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = sha256(content).hexdigest() if content else _EMPTY
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    lines = [verb, path, _query(query), *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest]
    scope = f"{day}/{place.region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, sha256("\n".join(lines).encode()).hexdigest()])
    key = f"AWS4{place.secret_key}".encode()
    for step in (day, place.region, "s3", "aws4_request"):
        key = HMAC(key, step.encode(), "sha256").digest()
    signature = HMAC(key, to_sign.encode(), "sha256").hexdigest()
    credential = f"{place.access_key}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers | {"authorization": authorization}


def _query(query: Mapping[str, str] | None) -> str:
    return urlencode(sorted((query or {}).items()), quote_via=quote, safe="~")


def _worth_trying_again(status: int) -> bool:
    return httpx.codes(status) in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)
