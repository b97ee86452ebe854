"""Which lines of history fit a question? Reads; changes nothing.

It takes time in proportion to what is kept: call it in worker threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from consensus.chain import Covered, Line, Link
from consensus.history.links import Book, Span, Vocabulary
from consensus.history.model import HistoryGap, HistoryLine, HistoryPage, Question
from consensus.history.views import Said, for_project, is_surely_of, line_view, said_by, written
from noded.core.store import View
from noded.core.unreadable import UNREADABLE

# Lines are in the log's order, their times are the proposers': clocks may differ by so much.
CLOCKS_APART_MS_MAX: Final = 24 * 3600 * 1000


def gaps_of(spans: list[Span], end: int) -> list[HistoryGap]:
    """What is missing between the oldest line that is kept and the state, which stands at `end`."""
    ends = [*((span.end, following.base.revision) for span, following in pairwise(spans))]
    if spans and spans[-1].end < end:
        ends.append((spans[-1].end, end))
    return [HistoryGap(after=after, until=until) for after, until in ends if after < until]


@dataclass(frozen=True, slots=True)
class Reader:
    """What is needed to read history in words."""

    book: Book
    words: Vocabulary
    view: View
    link: Link  # where the state's chain stands

    def page(self, question: Question) -> HistoryPage:
        """The newest lines that fit."""
        found: list[HistoryLine | HistoryGap] = []
        older: int | None = None
        spans = self.book.spans()
        about = self._meant_by(question.object)
        for each in self._backwards(spans, question, about):
            if len(found) == question.limit:
                older = _revision_after(found[-1])
                break
            found.append(each)
        return HistoryPage(
            lines=tuple(found),
            kept_after=spans[0].base.revision if spans else self.link.revision,
            head=written(self.link),
            older=older,
        )

    def _meant_by(self, object: str) -> frozenset[str]:
        """A name, and the ids of all that are called so now: later lines name records by their ids alone."""
        if not object:
            return frozenset()
        # For a project's members too: what they see of it is what is surely theirs.
        named = (record for kind in self.words.named_kinds for record in self.view.all(kind))
        return frozenset({object, *(record.id for record in named if getattr(record, "name", None) == object)})

    def _backwards(
        self, spans: list[Span], question: Question, about: frozenset[str]
    ) -> Iterator[HistoryLine | HistoryGap]:
        newer = self.link.revision
        for span in reversed(spans):
            before = question.before
            if span.end < newer and (before is None or span.end < before - 1):
                yield HistoryGap(after=span.end, until=newer)
            newer = span.base.revision
            if before is not None and newer >= before:
                continue
            stretch = self.book.stretch(newer)
            for line in reversed(stretch.lines if stretch else []):
                if before is None or line.revision < before:
                    at_ms, shown = self._fitting(line, question, about)
                    if question.since_ms is not None and 0 < at_ms < question.since_ms - CLOCKS_APART_MS_MAX:
                        return
                    if shown is not None:
                        yield shown

    def _fitting(self, line: Line, question: Question, about: frozenset[str]) -> tuple[int, HistoryLine | None]:
        """When a line was written, if it was read at all, and the line in words if it fits."""
        # Most lines are told apart by their bytes alone, which saves reading them.
        if about and not any(each.encode() in line.covered for each in about):
            return 0, None
        try:
            covered = line.content()
        except UNREADABLE:
            return 0, None  # `verify` tells of it
        said = said_by(covered)
        if not _is_within(said.at_ms, question) or not _is_about(covered, said, about):
            return said.at_ms, None
        if question.project_id is not None and not is_surely_of(covered, question.project_id):
            return said.at_ms, None
        shown = line_view(line, covered, said, self.words, self.view, question.project_id)
        if question.project_id is not None:
            shown = for_project(shown, question.project_id)
        return said.at_ms, shown if _is_by(shown, question.user) else None


def lines_between(book: Book, spans: list[Span], older: int, newer: int) -> Iterator[Line]:
    """The lines after revision `older`, up to `newer`, oldest first."""
    for span in spans:
        if span.end > older and span.base.revision < newer:
            stretch = book.stretch(span.base.revision)
            yield from (line for line in (stretch.lines if stretch else []) if older < line.revision <= newer)


def _revision_after(last: HistoryLine | HistoryGap) -> int:
    return last.revision if isinstance(last, HistoryLine) else last.after + 1


def _is_within(at_ms: int, question: Question) -> bool:
    since_ms, until_ms = question.since_ms, question.until_ms
    return (since_ms is None or at_ms >= since_ms) and (until_ms is None or at_ms <= until_ms)


def _is_by(line: HistoryLine, user: str) -> bool:
    return not user or user in {line.name, line.who, line.who.partition(":")[2]}


def _is_about(covered: Covered, said: Said, about: frozenset[str]) -> bool:
    """Whether a record that changed, or a command, has one of these ids or names; everything is about none."""
    if not about:
        return True
    for change in covered.changes:
        images = (change.before or {}, change.after or {})
        if change.id in about or any(image.get("name") in about for image in images):
            return True
    return any(_mentions(command, about) for command in said.commands)


def _mentions(value: object, about: frozenset[str]) -> bool:
    if isinstance(value, dict):
        return any(_mentions(each, about) for key, each in value.items() if key != "$")
    if isinstance(value, list):
        return any(_mentions(each, about) for each in value)
    return value in about
