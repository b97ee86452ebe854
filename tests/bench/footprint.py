"""How much memory do the storage's processes take, and how much of a core when nothing is done?"""

from pathlib import Path

from noded.core.units import KIB


def memory_of(pid: int) -> tuple[int, int]:
    """What a process has in memory, in bytes: all of it, and with what it shares divided among those who share it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    figures = {words[0]: int(words[1]) * KIB for words in map(str.split, lines[1:])}
    return figures["Rss:"], figures["Pss:"]
