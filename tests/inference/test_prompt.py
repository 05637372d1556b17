"""Prompts: the model's own template, no control token out of a person's text, whole exchanges dropped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botbridge.answers import Role, Turn
from botbridge.errors import PromptTooLong
from botbridge.inference.prompt import (
    ChatTemplate,
    Message,
    PromptBuilder,
    TemplateUnfit,
    cut_at_turns,
    first_kept,
    plain_ids,
    plain_template,
    text_after_answer,
    try_template,
)

CONTROL = {"<s>": 1000, "</s>": 1001, "<tool>": 1002, "§": 1003}


class EagerTokenizer:
    """One token a character, but every control token that it sees it makes, in people's text, too."""

    control_ids = frozenset(CONTROL.values())

    def encode(self, text: str, after: int | None = None) -> list[int]:
        """Encode with control tokens."""
        ids = []
        while text:
            name = next((name for name in CONTROL if text.startswith(name)), "")
            ids.append(CONTROL[name] if name else ord(text[0]))
            text = text[len(name) or 1 :]
        return ids

    def encode_plain(self, text: str, after: int | None = None) -> list[int]:
        """Encode just the same: the worst tokenizer there is."""
        return self.encode(text)


def chat_template(messages: Sequence[Message]) -> str:
    """A template with a control token before and after each turn."""
    return "".join(f"<s>{m['role'][0]}:{m['content'].strip()}</s>" for m in messages) + "<s>a:"


def no_system_template(messages: Sequence[Message]) -> str:
    """A template that refuses system turns, as Mistral's and Gemma's do."""
    if messages[0]["role"] == "system":
        raise TemplateUnfit("only user and assistant roles are supported")
    return chat_template(messages)


def user(text: str) -> Turn:
    """A question."""
    return Turn(Role.USER, text)


def assistant(text: str) -> Turn:
    """An answer."""
    return Turn(Role.ASSISTANT, text)


def built(turns: Sequence[Turn], *, context_tokens: int = 10_000, system: str = "", max_new_tokens: int = 100) -> str:
    """The prompt as text, control tokens spelt out."""
    builder = PromptBuilder(EagerTokenizer(), try_template(chat_template), context_tokens)
    return shown(builder.build(system, turns, max_new_tokens).ids)


def shown(ids: Sequence[int]) -> str:
    """Ids as text; a control token that was made stands in brackets."""
    names = {token_id: f"[{name}]" for name, token_id in CONTROL.items()}
    return "".join(names.get(token_id) or chr(token_id) for token_id in ids)


def test_turns_stand_in_the_template_in_their_order() -> None:
    """System text first, the newest question last, then the answer's beginning."""
    text = built([user("hi"), assistant("ho"), user("hm")], system="be kind")
    assert text == "[<s>]s:be kind[</s>][<s>]u:hi[</s>][<s>]a:ho[</s>][<s>]u:hm[</s>][<s>]a:"


def test_without_a_system_text_the_template_gets_no_system_turn() -> None:
    """It may then use its own."""
    assert built([user("hi")]) == "[<s>]u:hi[</s>][<s>]a:"


def test_a_template_without_system_turns_gets_the_text_before_the_first_question() -> None:
    """Nothing of it is lost."""
    builder = PromptBuilder(EagerTokenizer(), try_template(no_system_template), 1000)
    assert shown(builder.build("be kind", [user("hi")], 10).ids) == "[<s>]u:be kind\n\nhi[</s>][<s>]a:"


@pytest.mark.parametrize("name", CONTROL)
def test_a_control_token_that_a_person_spells_stays_text(name: str) -> None:
    """Even with a tokenizer that makes it; one that is a single character is left out."""
    text = built([user(f"before {name} after")])
    assert text == f"[<s>]u:before {name if len(name) > 1 else ''} after[</s>][<s>]a:"


@given(st.lists(st.sampled_from([*CONTROL, "<", "s>", "/", "tool", "a", " "]), max_size=12))
def test_no_spelling_of_control_tokens_makes_one(parts: list[str]) -> None:
    """Whole, broken or nested."""
    assert EagerTokenizer.control_ids.isdisjoint(plain_ids(EagerTokenizer(), "".join(parts)))


@given(st.text(), st.text())
def test_a_control_token_cannot_be_put_together_from_two_turns(first: str, second: str) -> None:
    """The number of control tokens in a prompt depends on the number of turns alone."""
    ids = PromptBuilder(EagerTokenizer(), try_template(chat_template), 100_000).build(
        "", [user(first + "<"), assistant("s>" + second), user(second + "</s")], 10
    )
    assert sum(token_id in EagerTokenizer.control_ids for token_id in ids.ids) == 7


def test_a_text_that_looks_like_a_mark_of_the_template_changes_nothing() -> None:
    """Marks are random, and people's text never passes through the template."""
    marks: list[str] = []

    def spying(messages: Sequence[Message]) -> str:
        marks.extend(message["content"] for message in messages)
        return chat_template(messages)

    builder = PromptBuilder(EagerTokenizer(), try_template(spying), 100_000)
    guess = " ".join(marks)
    assert guess in shown(builder.build("", [user(guess), assistant(guess), user("{{ messages }}")], 10).ids)
    assert len(set(marks)) == len(marks)
    assert not any("messages" in mark for mark in marks)


@pytest.mark.parametrize(
    "render",
    [
        lambda messages: messages[-1]["content"],
        lambda messages: chat_template(list(reversed(messages))),
        lambda messages: chat_template(messages) + messages[0]["content"],
        lambda messages: chat_template(messages).upper(),
    ],
    ids=["leaves turns out", "reorders", "repeats", "changes the text"],
)
def test_a_template_that_does_not_keep_the_turns_is_refused(render: object) -> None:
    """It is found out when the model is loaded, not when somebody asks."""
    with pytest.raises(TemplateUnfit):
        try_template(render)  # type: ignore[arg-type]


def test_the_supplied_template_is_a_dialogue() -> None:
    """For models that know none."""
    template = ChatTemplate(plain_template)
    ids = PromptBuilder(EagerTokenizer(), template, 1000).build(
        "Be kind.", [user("hi"), assistant("ho"), user("hm")], 9
    )
    assert shown(ids.ids) == "Be kind.\n\nUser: hi\nAssistant: ho\nUser: hm\nAssistant:"
    assert text_after_answer(plain_template) == "\nUser: "


def test_a_blank_before_a_turn_is_encoded_with_the_turn() -> None:
    """Most vocabularies hold the blank and the word as one token."""
    seen: list[str] = []

    class Listening(EagerTokenizer):
        def encode_plain(self, text: str, after: int | None = None) -> list[int]:
            seen.append(text)
            return super().encode_plain(text)

    PromptBuilder(Listening(), ChatTemplate(plain_template), 1000).build("", [user("hi")], 9)
    assert " hi" in seen


def test_the_oldest_exchanges_are_dropped_and_never_the_system_text() -> None:
    """Question and answer go together."""
    turns = [turn for n in range(10) for turn in (user(f"question {n}"), assistant(f"answer {n}"))]
    builder = PromptBuilder(EagerTokenizer(), try_template(chat_template), 300)
    ids = builder.build("be kind", [*turns, user("newest")], 100).ids
    prompt = shown(ids)
    assert prompt.startswith("[<s>]s:be kind[</s>][<s>]u:question ")
    assert prompt.endswith("[<s>]u:newest[</s>][<s>]a:")
    assert "question 0" not in prompt
    assert len(ids) <= 200


def test_used_turns_counts_what_is_kept() -> None:
    """The caller learns what the model still sees."""
    turns = [turn for n in range(4) for turn in (user("x" * 50), assistant("y" * 50))]
    builder = PromptBuilder(EagerTokenizer(), try_template(chat_template), 400)
    assert builder.build("", [user("hi")], 100).used_turns == 1
    assert builder.build("", [*turns[:2], user("hi")], 100).used_turns == 3
    assert builder.build("", [*turns[:6], user("hi")], 100).used_turns == 3
    assert builder.build("", [*turns, user("hi")], 100).used_turns == 5


def test_history_is_dropped_in_large_steps_so_that_prompts_begin_alike() -> None:
    """As a talk grows, most prompts begin with the one before."""
    turns: list[Turn] = []
    kept_prefix = 0
    before = ""
    for n in range(40):
        turns.append(user(f"question {n:03}"))
        prompt = built(turns, context_tokens=600, max_new_tokens=100)
        kept_prefix += prompt.startswith(before.removesuffix("[<s>]a:"))
        before = prompt
        turns.append(assistant(f"answer {n:03}"))
    assert kept_prefix >= 34


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(50, 200))
def test_what_is_kept_fits_and_an_earlier_cut_is_found_again(costs: list[int], budget: int) -> None:
    """The cut moves only when the history overflows, and then at least to the half."""
    first = first_kept(costs, budget)
    assert sum(costs[first:]) <= budget
    previous = first_kept(costs[:-1], budget) if len(costs) > 1 else 0
    if first != previous:
        assert sum(costs[previous:]) > budget
        assert sum(costs[first:]) <= budget // 2 or first == len(costs) - 1


def test_a_newest_question_that_leaves_less_room_gets_a_shorter_answer() -> None:
    """An answer of some tokens is better than none."""
    builder = PromptBuilder(EagerTokenizer(), try_template(chat_template), 100)
    prompt = builder.build("", [user("old"), assistant("old"), user("x" * 60)], 80)
    assert prompt.used_turns == 1
    assert prompt.max_new_tokens == 100 - len(prompt.ids)


def test_a_newest_question_that_does_not_fit_is_refused() -> None:
    """With the figures."""
    builder = PromptBuilder(EagerTokenizer(), try_template(chat_template), 100)
    with pytest.raises(PromptTooLong, match="limit 100"):
        builder.build("", [user("x" * 90)], 80)


def test_what_stands_before_the_first_question_is_left_out() -> None:
    """Templates want the person to begin."""
    assert "lost" not in built([assistant("lost"), user("hi")])


def test_pieces_of_the_template_are_those_around_the_turns() -> None:
    """One more than turns."""
    assert cut_at_turns(chat_template, (Role.USER, Role.ASSISTANT)) == ["<s>u:", "</s><s>a:", "</s><s>a:"]
