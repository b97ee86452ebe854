"""A disk that was full takes writes again once there is room on it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from noded.core.ids import DiskId
from storage.extents.frame import Op, Why
from storage.host.extent_store import ExtentStore
from tests.unit.storage.talk import Talk, block, refusal


@pytest.mark.parametrize("looks", [Talk, lambda store: store.settle_if_idle()], ids=["a writer comes", "time passes"])
def test_a_disk_looks_again_whether_it_is_full(tmp_path: Path, looks: Callable[[ExtentStore], object]) -> None:
    store = ExtentStore(tmp_path, DiskId("d"), segment_bytes=4 << 20)
    talk = Talk(store)
    store.full = True  # as it was at the last look, before room was made
    assert refusal(talk.write(0, block(1))) == Why.FULL
    looks(store)
    assert not store.full
    assert Talk(store, epoch=2).write(0, block(1)).op == Op.ACK
    store.close()
