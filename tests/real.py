"""Runs tests, and what failed once more, alone: `python -m tests.real FOLDER... [--beside FOLDER...]`.

Real sockets, kernels and hosts on a busy machine can be late through no fault of the product's. A test gets its second
chance on a fresh lab, and nothing else changes for it; both outcomes are printed. Many failures at once are no bad
luck: they get none. Nor does a lost or stale answer: being late has no part in that, so its test says `BROKEN_PROMISE`.
"""

import subprocess
import sys
import tempfile

import pytest

CHANCES_MAX = 6  # failures in one run that may be bad luck
BESIDE = "--beside"
BROKEN_PROMISE = "PROMISE BROKEN"  # in the text of a failure that is none


class Failures:
    """Notes which tests did not pass."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        self.were_promised_otherwise = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.ids[report.nodeid] = None
            self.were_promised_otherwise |= BROKEN_PROMISE in report.longreprtext


def main(arguments: list[str]) -> int:
    """Run them all; 0 if each passed."""
    if BESIDE in arguments:
        at = arguments.index(BESIDE)
        return run_beside(arguments[:at], arguments[at + 1 :])
    failures = Failures()
    code = pytest.main(arguments, plugins=[failures])
    may_be_luck = len(failures.ids) <= CHANCES_MAX and not failures.were_promised_otherwise
    if code != pytest.ExitCode.TESTS_FAILED or not may_be_luck:
        return int(code)
    print(f"\nFAILED ONCE, each is run again alone: {' '.join(failures.ids)}\n", flush=True)
    # A fresh interpreter: nothing of the first run, fixtures among it, may help or hinder.
    return subprocess.run([sys.executable, "-m", "pytest", *failures.ids], check=False).returncode


def run_beside(folders: list[str], others: list[str]) -> int:
    """Labs wait much: what needs none runs meanwhile, gives way to them, and is printed after them."""
    with tempfile.TemporaryFile("w+") as output:
        command = ["nice", "-n", "5", sys.executable, "-m", "tests.real", *others]
        beside = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            code = main(folders)
            beside_code = beside.wait()
        finally:
            beside.kill()
        output.seek(0)
        print(f"\nBESIDE THEM\n{output.read()}", flush=True)
    return code or beside_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
