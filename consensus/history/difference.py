"""How does the store differ between two revisions? Merged from what each line says of the records that it changed.

It takes time in proportion to what lies between: call it in worker threads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from consensus.chain import Fields, RecordChange, defaults_of
from consensus.history.links import Span
from consensus.history.model import RECORDS_MAX, Difference, DiffQuestion, RecordDifference
from consensus.history.reading import Reader, gaps_of, lines_between
from consensus.history.views import name_of
from noded.core.errors import Invalid, NotFound
from noded.core.secrecy import HIDDEN


@dataclass(slots=True)
class _Merged:
    """Several changes of one record as one. `is_whole`: the images have all fields, not only those that changed."""

    before: Fields | None
    after: Fields | None
    is_whole: bool = False
    is_same: bool = False  # it came and went in between
    is_too_large: bool = False
    touched: set[str] = field(default_factory=set)  # secret fields that changed

    @property
    def change(self) -> str:
        if self.is_too_large:
            return "changed"
        return "added" if self.before is None else "removed" if self.after is None else "changed"

    def fields(self, defaults: Fields) -> dict[str, tuple[Any, Any]]:
        """Old and new values of what differs. Images leave out what is at its default."""
        before = None if self.before is None else defaults | self.before
        after = None if self.after is None else defaults | self.after
        old, new = before or defaults, after or defaults
        return {
            name: (before and old.get(name), after and new.get(name))
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name) or name in self.touched
        }


def _merge(merged: dict[tuple[str, str], _Merged], change: RecordChange) -> None:
    key = (change.table, change.id)
    known = merged.get(key)
    if change.before is None and change.after is None:
        merged[key] = _Merged(None, None, is_too_large=True)
    elif known is None or known.is_same:
        merged[key] = known = _Merged(_copy(change.before), _copy(change.after))
        known.touched |= _hidden_in(change)
    elif known.is_too_large:
        return
    else:
        _merge_further(known, change)


def _merge_further(known: _Merged, change: RecordChange) -> None:
    if known.after is None:  # removed before, and here again
        known.after, known.is_whole = _copy(change.after), True
        # Nobody can tell whether these are as they were.
        known.touched |= {name for name, value in (change.after or {}).items() if value == HIDDEN}
    elif change.after is None:
        if known.before is None:
            known.is_same = True
        elif not known.is_whole:
            known.before = {**(change.before or {}), **known.before}
        known.after = None
    else:
        if known.before is not None and not known.is_whole:
            known.before = {**(change.before or {}), **known.before}
        known.after |= change.after
        known.touched |= _hidden_in(change) if known.before is not None else set()


def _hidden_in(change: RecordChange) -> set[str]:
    """The secret fields that this change gave another value."""
    if change.before is None or change.after is None:
        return set()
    return {name for name, value in change.after.items() if value == HIDDEN == change.before.get(name)}


def _copy(image: Mapping[str, Any] | None) -> Fields | None:
    return None if image is None else dict(image)


def difference(reader: Reader, question: DiffQuestion) -> Difference:
    """What changed in the store. Raises `Invalid`, and `NotFound` for revisions that are not kept."""
    older, newer = question.from_revision, question.to_revision
    if older > newer:
        raise Invalid(f"Revision {older} is newer than {newer}: name the older one first.")
    spans = reader.book.spans()
    _expect_kept(reader, spans, older, newer)
    merged: dict[tuple[str, str], _Merged] = {}
    for line in lines_between(reader.book, spans, older, newer):
        for change in line.content().changes:
            _merge(merged, change)
    differing = (_differing(reader, *key, each) for key, each in sorted(merged.items()))
    records = [record for record in differing if record and question.object in {"", record.id, record.name}]
    return Difference(
        from_revision=older,
        to_revision=newer,
        records=tuple(records[:RECORDS_MAX]),
        left_out=max(0, len(records) - RECORDS_MAX),
    )


def _expect_kept(reader: Reader, spans: list[Span], older: int, newer: int) -> None:
    now = int(reader.view.revision)
    oldest = spans[0].base.revision if spans else now
    if newer > now:
        raise NotFound(f"Revision {newer} is still to come: this node stands at {now}.")
    if older < oldest:
        raise NotFound(f"Revision {older} is not kept any more: history begins after revision {oldest} here.")
    for gap in gaps_of(spans, reader.link.revision):
        if gap.after < newer and older < gap.until:
            raise NotFound(
                f"The lines after revision {gap.after} up to {gap.until} are missing on this node; it asks the"
                " other nodes for them. Ask again in a minute, or on another node."
            )


def _differing(reader: Reader, table: str, id: str, merged: _Merged) -> RecordDifference | None:
    kind = reader.words.kinds.get(table)
    fields = merged.fields({} if kind is None else defaults_of(kind))
    if merged.is_same or (merged.change == "changed" and not fields and not merged.is_too_large):
        return None
    images = {**(merged.before or {}), **(merged.after or {})}
    name = name_of(table, id, images, reader.words, reader.view)
    noun = reader.words.nouns.get(table, table)
    return RecordDifference(noun=noun, id=id, name=name, change=merged.change, fields=fields)
