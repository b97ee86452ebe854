"""History kept in memory: what `HistoryFiles` promises, without files."""

from itertools import pairwise

from consensus.chain import Line, Link
from consensus.history.links import Span, Stretch

SPAN_LINES = 50


class MemoryBook:
    """Implements `Keeper` and `Book`."""

    def __init__(self, spans_max: int = 10_000) -> None:
        self._spans_max = spans_max
        self._stretches: list[Stretch] = []

    def keep(self, line: Line, before: Link) -> None:
        if not self._stretches or self._end() != before or len(self._stretches[-1].lines) >= SPAN_LINES:
            self._stretches.append(Stretch(before, [], []))
            del self._stretches[: -self._spans_max]
        self._stretches[-1].lines.append(line)

    def resume(self, link: Link) -> None:
        kept = [stretch for stretch in self._stretches if stretch.base.revision < link.revision]
        self._stretches = [
            Stretch(stretch.base, [line for line in stretch.lines if line.revision <= link.revision], stretch.damaged)
            for stretch in kept
        ]

    def settle(self) -> None: ...

    def spans(self) -> list[Span]:
        return [Span(each.base, (each.lines[-1] if each.lines else each.base).revision) for each in self._stretches]

    def stretch(self, base_revision: int) -> Stretch | None:
        return next((each for each in self._stretches if each.base.revision == base_revision), None)

    def fill(self, stretch: Stretch) -> bool:
        if len(self._stretches) >= self._spans_max:
            return False
        self._stretches.append(stretch)
        self._stretches.sort(key=lambda each: each.base.revision)
        return True

    def _end(self) -> Link:
        last = self._stretches[-1]
        return last.lines[-1].link if last.lines else last.base


def whole(spans: list[Span]) -> bool:
    """Whether there is no gap between spans."""
    return all(one.end == other.base.revision for one, other in pairwise(spans))
