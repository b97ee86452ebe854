"""What the daemon writes when something breaks that nobody thought of."""

import subprocess
import sys

import pytest

_FAILS = """
import logging, structlog
from noded.logs import configure_logs

def fail(password):
    headers = {{"x-auth-token": password}}
    raise ValueError("of the kind that nobody thought of")

configure_logs()
try:
    fail("hunter" + "2")
except ValueError:
    {log}
"""


@pytest.mark.parametrize(
    "log", ['structlog.get_logger().exception("failed")', 'logging.getLogger("library").exception("failed")']
)
def test_a_traceback_says_where_and_why_but_no_variables_value(log: str) -> None:
    done = subprocess.run([sys.executable, "-c", _FAILS.format(log=log)], capture_output=True, text=True, check=True)
    assert "nobody thought of" in done.stderr
    assert '"name": "fail"' in done.stderr
    assert "hunter2" not in done.stderr
