"""What a terminal may be given to show."""

from __future__ import annotations

import re

# C0 and C1 controls but for tab and line feed: with ESC, CSI or OSC among them,
# text could move the cursor, set the title or fill the clipboard. The
# directional overrides and embeddings could show text in another order than it
# is written in; isolates and marks, which Arabic sentences need, stay.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def plain(text: str) -> str:
    r"""Text that moves nothing in the terminal but the place where the next word goes.

    >>> plain("Paris\r\n\x1b[2J\x1b]0;title\x07 is big")
    'Paris\n[2J]0;title is big'
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", _CONTROL.sub("", lines))
