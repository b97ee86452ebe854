"""How do missing lines come from another node? In pages, newest first, each proved by the head that it leads to.

A page is the part of one span that ends at or before a revision. Its last head is known already, from the state or from
the line that follows the gap; since each head covers the line before, a whole page can't be forged.
"""

from typing import Final

import msgspec

from consensus.chain import Link, decode_line, encode_line
from consensus.history.links import Book, Span, Stretch
from noded.core.unreadable import UNREADABLE

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024


class Page(msgspec.Struct, frozen=True, array_like=True):
    """Lines of one span, and the link that they follow. Without lines: nothing older is kept there."""

    base_revision: int
    base_head: bytes
    lines: list[bytes]


def page_before(book: Book, until: int) -> bytes:
    """The page of lines that ends at revision `until`, if this node has that very line; else an empty one."""
    for span in book.spans():
        if span.base.revision < until <= span.end and (stretch := book.stretch(span.base.revision)) is not None:
            return msgspec.msgpack.encode(_page_of(stretch, until))
    return msgspec.msgpack.encode(Page(0, b"", []))


def _page_of(stretch: Stretch, until: int) -> Page:
    lines: list[bytes] = []
    base, room = stretch.base, PAGE_BYTES_MAX
    kept = [line for line in stretch.lines if line.revision <= until]
    for number, line in reversed(list(enumerate(kept))):
        content = encode_line(line)
        room -= len(content)
        if lines and room < 0:
            base = kept[number].link
            break
        lines.append(content)
    return Page(base.revision, base.head, lines[::-1])


def proved(answer: bytes, link: Link, after: int) -> Stretch | None:
    """The lines of a page that lead to `link`, without those up to `after`; None: it has none, or is forged."""
    try:
        page = msgspec.msgpack.decode(answer, type=Page)
        lines = [decode_line(content) for content in page.lines]
    except UNREADABLE:
        return None
    links = [Link(page.base_revision, page.base_head), *(line.link for line in lines)]
    chained = all(line.follows(before) for line, before in zip(lines, links, strict=False))
    if not lines or not chained or links[-1] != link:
        return None
    older = sum(line.revision <= after for line in lines)
    return Stretch(links[older], lines[older:], [])


def missing(spans: list[Span], link: Link) -> tuple[Link, int] | None:
    """The newest gap: the link that it must lead to, and the revision after which it begins; None if there is none.

    What is older than all that is kept counts too: others may have it.
    """
    upper = link
    for span in reversed(spans):
        if span.end < upper.revision:
            return upper, span.end
        upper = span.base
    return (upper, 0) if upper.revision else None
