"""Texts that leave in pieces: a secret that the cut would split is held back until it is whole."""

from kneo_grpc.domain.redaction.redactor import Redactor

HOLD_BYTES = 1024
BUFFER_BYTES_MAX = 1024 * 1024


class PieceRedactor:
    """Blanks one text that comes in pieces of UTF-8, cut anywhere. Holds back 1 KiB: a secret
    together with its name is blanked wherever it is cut as long as both are not longer than that.

    by_line: each line is a text of its own, as in lines of JSON, and leaves when it is complete.
    """

    def __init__(self, redactor: Redactor, *, by_line: bool = False) -> None:
        self._redactor = redactor
        self._by_line = by_line
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Return what may leave now, b"" where all is held back."""
        self._held += piece
        text = self._held
        if self._by_line:
            lines, self._held = text[: text.rfind(b"\n") + 1], text[text.rfind(b"\n") + 1 :]
            return self._redactor.raw(lines)
        if len(text) <= HOLD_BYTES:
            return b""
        whole = self._redactor.raw(text)
        for place in _places(text):
            head = self._redactor.raw(text[:place])
            if head + self._redactor.raw(text[place:]) == whole:
                self._held = text[place:]
                return head
        if len(text) > BUFFER_BYTES_MAX:
            self._held = b""
            return whole
        return b""

    def end(self) -> bytes:
        """Return the rest."""
        rest, self._held = self._redactor.raw(self._held), b""
        return rest


def _places(text: bytes) -> list[int]:
    """Return where the text could be cut: behind a line, behind a word, anywhere."""
    most = len(text) - HOLD_BYTES
    places = [text.rfind(mark, 0, most) + 1 for mark in (b"\n", b" ")]
    while most > 0 and text[most] & 0xC0 == 0x80:
        most -= 1
    return [place for place in (*places, most) if place > 0]
