"""A cut answer ends at a sentence or says that it was cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.conversation.ending import CUT_MARK, end_cut_answer


@pytest.mark.parametrize(
    ("cut", "ended"),
    [
        ("Paris is the capital. It lies on the", "Paris is the capital."),
        ('He said "yes." And then he', 'He said "yes."'),
        ("باريس هي العاصمة. وهي تقع على", "باريس هي العاصمة."),
        ("هل هذا صحيح؟ نعم", "هل هذا صحيح؟"),
        ("It costs 3.14 and more", "It costs 3.14 and more […]"),
        ("Buy:\n1. bread\n2. milk and", "Buy:\n1. bread\n2. milk and […]"),
        (
            "Yes. A long second sentence that has no end in sight",
            "Yes. A long second sentence that has no end in sight […]",
        ),
        ("Look:\n```python\nprint(1).", "Look:\n```python\nprint(1).\n```\n[…]"),
        ("Done.", "Done."),
    ],
)
def test_where_a_cut_answer_ends(cut: str, ended: str) -> None:
    assert end_cut_answer(cut) == ended


@given(st.text())
def test_most_of_the_text_is_kept_or_all_of_it_marked(text: str) -> None:
    ended = end_cut_answer(text)
    stripped = text.rstrip()
    assert ended.endswith(CUT_MARK.strip()) or (stripped.startswith(ended) and len(ended) * 2 >= len(stripped))
