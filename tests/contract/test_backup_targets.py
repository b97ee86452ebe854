"""One suite for every kind of place for backups. The object store is a server of its own: moto, checking signatures."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from noded.core.errors import Invalid, Unavailable
from noded.core.units import KIB, MIB
from storage.backups.chunks import REGION_BYTES
from storage.backups.links import DirectoryPlace, Place, S3Place, Stored
from storage.host.backup_bytes import HostBackups
from storage.host.s3 import Bucket

IAM = "2010-05-08"
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
SIZE = REGION_BYTES + 64 * KIB
DATA = b"some words, " * 100_000 + bytes(SIZE - 1_200_000 - MIB) + b"the end of it \0\1" * (MIB // 16)


class Moto:
    """A server of AWS's APIs in a process, with one user whose signatures it checks."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            env={"INITIAL_NO_AUTH_ACTION_COUNT": "3", "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()
        self._iam(Action="CreateUser", UserName="noded")
        made = self._iam(Action="CreateAccessKey", UserName="noded")
        self._iam(Action="PutUserPolicy", UserName="noded", PolicyName="all", PolicyDocument=POLICY)
        self.access_key = re.findall(r"<AccessKeyId>(.*?)<", made)[0]
        self.secret_key = re.findall(r"<SecretAccessKey>(.*?)<", made)[0]

    def _wait(self) -> None:
        for _ in range(300):
            try:
                socket.create_connection(self.url.removeprefix("http://").split(":"), timeout=1).close()  # type: ignore[arg-type]
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("moto does not start")

    def _iam(self, **words: str) -> str:
        headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request"}
        answer = httpx.post(self.url + "/", data={"Version": IAM, **words}, headers=headers, timeout=60)
        assert answer.is_success, answer.text
        return answer.text

    def place(self, bucket: str = "backups", **keys: str) -> S3Place:
        words = {"access_key": self.access_key, "secret_key": self.secret_key, "url": self.url, **keys}
        return S3Place(bucket=bucket, region="us-east-1", container="c ö", **words)


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    server = Moto()
    try:
        bucket = Bucket(server.place())
        bucket.put("", b"")  # PUT of the bucket itself makes it
        bucket.close()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        moto: Moto = request.getfixturevalue("moto")
        return moto.place()
    (tmp_path / "nas").mkdir()
    return DirectoryPlace(path=tmp_path / "nas", target_id="nas", container="c")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.write_bytes(DATA)
    return path


async def test_what_is_written_there_comes_back(place: Place, volume: Path, tmp_path: Path) -> None:
    backups = HostBackups()
    await backups.mark(place)
    await backups.mark(place)
    full = Stored(place=place, location=f"full-{tmp_path.name}")
    first = await backups.copy(volume, SIZE, "v", [full])
    with volume.open("r+b") as file:
        file.write(b"changed")
    chain = [Stored(place=place, location=f"more-{tmp_path.name}", key=b"k" * 32), full]
    second = await backups.copy(volume, SIZE, "v", chain)
    assert (first.object_count, second.object_count) == (3, 2)
    for moment, stored in ((DATA, chain[1:]), (b"changed" + DATA[7:], chain)):
        restored = tmp_path / "restored"
        restored.write_bytes(bytes(SIZE))
        await backups.restore(stored, SIZE, restored, blank=True)
        assert restored.read_bytes() == moment
    assert await backups.check(full) == first
    await backups.remove(full)
    await backups.remove(full)
    with pytest.raises(Invalid, match="manifest"):
        await backups.check(full)


@pytest.mark.parametrize("keys", [{"secret_key": "wrong"}, {"bucket": "missing"}])
async def test_an_object_store_that_refuses_is_an_error_at_once(moto: Moto, keys: dict[str, str]) -> None:
    with pytest.raises(Invalid, match=r"SignatureDoesNotMatch|NoSuchBucket") as refused:
        await HostBackups().mark(moto.place(**keys))
    assert moto.secret_key not in str(refused.value)


async def test_an_object_store_that_is_not_there_may_come_back(moto: Moto) -> None:
    with pytest.raises(Unavailable):
        await HostBackups().mark(moto.place(url="http://127.0.0.1:9"))


async def test_a_directory_that_is_not_the_target_is_never_written_to(tmp_path: Path, volume: Path) -> None:
    place = DirectoryPlace(path=tmp_path / "nas", target_id="nas", container="c")
    with pytest.raises(Invalid, match="no directory"):
        await HostBackups().mark(place)
    place.path.mkdir()
    with pytest.raises(Unavailable, match="not mounted"):
        await HostBackups().copy(volume, SIZE, "v", [Stored(place=place, location="x")])
    assert list(place.path.iterdir()) == []
