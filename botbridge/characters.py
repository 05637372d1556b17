"""Which characters of a text can be stored and sent."""

from __future__ import annotations


def sound(text: str) -> str:
    r"""Return the text with every lone half of a surrogate pair replaced by U+FFFD: no encoding has one.

    A pair that arrived as two code points becomes the character it means. The length in UTF-16 units stays as it was.

    >>> sound("a\ud800b")
    'a\ufffdb'
    >>> sound("\ud83d\ude00") == "\N{GRINNING FACE}"
    True
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def storable(text: str) -> str:
    r"""Return the sound text with U+FFFD for every NUL, at which SQLite's functions take a text to end.

    Source: https://sqlite.org/nulinstr.html

    >>> storable("a\ud800b\x00")
    'a\ufffdb\ufffd'
    """
    return sound(text).replace("\0", "\ufffd")
