"""What the tests of storage's and images' APIs begin with; those of identity found a smaller cloud of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api.stores import Stores, found_stores


@pytest.fixture
async def stores(tmp_path: Path) -> Stores:
    """A cloud with storage and images, and the reconcilers of all its nodes."""
    return await found_stores(tmp_path)


@pytest.fixture
async def client(stores: Stores) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's."""
    async with stores[0].client() as client:
        client.headers.update(await stores[0].admin(client))
        yield client
