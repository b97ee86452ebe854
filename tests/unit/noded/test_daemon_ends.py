"""How the daemon ends when it can't be a node: with one line that says why, and not with a trace."""

import json
import subprocess
import sys
from pathlib import Path


def test_a_node_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "noded.toml"
    places = "\n".join(f'{name}_dir = "{tmp_path / name}"' for name in ("state", "run", "log"))
    config.write_text(f'interface = "nosuch0"\n{places}\n')
    ended = subprocess.run(
        [sys.executable, "-c", "from noded.cli.main import main; main()", "--config", str(config), "daemon"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    [line] = (ended.stdout + ended.stderr).splitlines()
    assert json.loads(line)["event"] == "node can't start"
    assert "interface nosuch0 has no IPv4 address" in json.loads(line)["reason"]
