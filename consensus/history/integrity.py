"""Is history as it was written? Each line must follow the one before, the last one be what the state says.

It reads all that is kept: call it in worker threads.
"""

from collections.abc import Iterator

from consensus.chain import Link
from consensus.history.links import Book, Stretch
from consensus.history.model import Problem, Verdict
from consensus.history.reading import gaps_of
from consensus.history.views import written


def verify(book: Book, link: Link, node_id: str) -> Verdict:
    """Walk all lines of this node, and see that they lead to the state's own head, `link`."""
    spans = book.spans()
    problems: list[Problem] = []
    count, last, at_link = 0, None, None
    for span in spans:
        stretch = book.stretch(span.base.revision)
        if stretch is None:
            continue  # the oldest went while this ran
        if last is not None and stretch.base.revision == last.revision and stretch.base.head != last.head:
            problems.append(_altered(last.revision))
        elif last is not None and stretch.base.revision < last.revision:
            problems.append(Problem(revision=stretch.base.revision, what="lines were inserted"))
        problems += _problems_in(stretch)
        count += len(stretch.lines)
        for one in (stretch.base, *(line.link for line in stretch.lines)):
            last = one
            at_link = one if one.revision == link.revision else at_link
    gaps = gaps_of(spans, link.revision)
    if at_link is not None and at_link.head != link.head:
        problems.append(Problem(revision=link.revision, what="what leads here is not what the state says"))
    elif at_link is None and link.revision and not gaps:
        problems.append(Problem(revision=link.revision, what="the newest lines are missing"))
    return Verdict(
        node_id=node_id,
        kept_after=spans[0].base.revision if spans else link.revision,
        lines=count,
        head=written(link),
        gaps=tuple(gaps),
        problems=tuple(problems),
    )


def _altered(revision: int) -> Problem:
    return Problem(revision=revision, what="the line was altered")


def _problems_in(stretch: Stretch) -> Iterator[Problem]:
    following = {line.revision: line.previous for line in stretch.lines}
    for before in stretch.damaged:
        # The line behind the damaged one says which revision that was.
        revision = min((each for each in following if each > before), default=None)
        yield Problem(revision=before + 1 if revision is None else following[revision], what="the line can't be read")
    last = stretch.base
    for line in stretch.lines:
        if line.previous > last.revision and last.revision not in stretch.damaged:
            yield Problem(revision=line.revision, what=f"lines were removed before it, after {last.revision}")
        elif line.previous < last.revision or line.revision <= last.revision:
            yield Problem(revision=line.revision, what="a line was inserted before it")
        elif line.previous == last.revision and not line.follows(last):
            yield _altered(line.revision)
        last = line.link


def heads_at(book: Book, revisions: list[int]) -> dict[int, bytes]:
    """The heads of the lines with these revisions, as far as they are kept here."""
    wanted = sorted(set(revisions))
    found: dict[int, bytes] = {}
    for span in book.spans():
        here = {revision for revision in wanted if span.base.revision < revision <= span.end}
        if here and (stretch := book.stretch(span.base.revision)) is not None:
            found |= {line.revision: line.head for line in stretch.lines if line.revision in here}
    return found


def last_lines(book: Book) -> dict[int, bytes]:
    """The head at the end of each span: few enough to compare with another node."""
    ends = {}
    for span in book.spans():
        if (stretch := book.stretch(span.base.revision)) is not None and stretch.lines:
            ends[stretch.lines[-1].revision] = stretch.lines[-1].head
    return ends


def head_at(book: Book, revision: int, link: Link) -> bytes | None:
    """The head when the store stood at that revision; None: it is not known here."""
    if revision >= link.revision:
        return link.head if revision == link.revision else None
    for span in book.spans():
        if span.base.revision <= revision <= span.end and (stretch := book.stretch(span.base.revision)) is not None:
            links = [stretch.base, *(line.link for line in stretch.lines)]
            return max((each for each in links if each.revision <= revision), key=lambda each: each.revision).head
    return None
