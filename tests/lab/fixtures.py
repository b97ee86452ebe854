"""The whole cloud as a fixture: three simulated hosts that run the real daemon, for any folder of tests.

A folder that wants it imports it in its conftest.py: `from tests.lab.fixtures import cloud`.
"""

from collections.abc import Iterator

import pytest

from tests.lab.lab import Lab
from tests.lab.plan import Plan
from tests.lab.whole import wait_whole


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three hosts at 10.76.0.1 to 10.76.0.3, all ready, with a state of their own that ends with the test run."""
    with Lab(Plan(root=tmp_path_factory.mktemp("cloud"), subnet="10.76.0", link="noded-cloud")) as lab:
        wait_whole(lab)
        yield lab
