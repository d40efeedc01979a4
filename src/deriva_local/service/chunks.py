"""A body that comes in chunks, put together while it is read: no chunk is kept whole, and none is read leniently.

Over a stream; no sockets.
"""

from __future__ import annotations

import re
from typing import BinaryIO

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LONGEST_LINE = 1024
_MOST_TRAILERS = 50


class Chunks:
    """The body that ``stream`` has in chunked transfer encoding.

    Example:
        >>> from io import BytesIO
        >>> body = Chunks(BytesIO(b"3\\r\\nabc\\r\\n2;x=y\\r\\nde\\r\\n0\\r\\n\\r\\n"))
        >>> body.read(4), body.read(4), body.read(4), body.is_over
        (b'abcd', b'e', b'', True)
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = 0
        self.is_over = False

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes, fewer only at the end.

        Raises:
            ValueError: the body is cut off, or is not in chunks as it should be.
        """
        blocks: list[bytes] = []
        while size and (block := self._block(size)):
            blocks.append(block)
            size -= len(block)
        return b"".join(blocks)

    def _block(self, size: int) -> bytes:
        if not self._left and not self.is_over:
            self._begin()
        if self.is_over:
            return b""
        block = self._stream.read(min(size, self._left))
        self._left -= len(block)
        if not block or (not self._left and self._stream.read(2) != b"\r\n"):
            raise ValueError("a chunk ends too early or too late")
        return block

    def _begin(self) -> None:
        found = _SIZE.fullmatch(self._stream.readline(_LONGEST_LINE))
        if found is None:
            raise ValueError("a chunk without a size")
        self._left = int(found[1], 16)
        if self._left:
            return
        for _ in range(_MOST_TRAILERS):
            line = self._stream.readline(_LONGEST_LINE)
            if line == b"\r\n":
                self.is_over = True
                return
            if not line.endswith(b"\r\n"):
                break
        raise ValueError("what follows the last chunk is malformed")
