"""Token ids of a conversation, built so that no text of a person can become a control token.

The model's chat template never sees what people wrote. It is rendered around
random marks, one for each turn, and cut at them; the pieces between are the
template's own and may hold control tokens. Each turn is encoded by itself as
plain text, checked, and put in its place. So a control token in a turn's span
is impossible, however it is spelt, split over turns or made by the tokenizer.

Covered: special tokens and tokens added to the vocabulary, of every tokenizer.
Not covered: models whose template marks turns with ordinary text such as
`User:`, which a person can type, too (the supplied template is one).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from botbridge.answers import Role, Turn
from botbridge.errors import PromptTooLong
from botbridge.inference.engines.base import EnginePrompt

LEAST_ANSWER_TOKENS = 16
"""An answer shorter than this is worth nothing; a prompt that leaves less room is refused."""

MARK_BYTES = 16

Message = dict[str, str]
Render = Callable[[Sequence[Message]], str]
"""Messages (`role`, `content`) to the template's text, ending where the answer begins; TemplateUnfit if it cannot."""


class TemplateUnfit(ValueError):
    """The template cannot be used for such a conversation."""


class Tokenizer(Protocol):
    """What prompt building needs of a tokenizer; neither method adds tokens around the text.

    A text may be encoded otherwise at the beginning than behind other text:
    `after` is the token that it follows, None where nothing stands before it.
    """

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids that steer the model, which no text of a person may bring forth."""
        ...

    def encode(self, text: str, after: int | None = None) -> list[int]:
        """Encode text of the template; the names of control tokens become those tokens."""
        ...

    def encode_plain(self, text: str, after: int | None = None) -> list[int]:
        """Encode text of a person, as far as possible without control tokens."""
        ...


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A template that was tried out.

    Attributes:
        render: The template itself.
        start_ids: Tokens before everything, for templates that do not write them.
        takes_system: Whether it knows a system turn; else the system text
            stands before the first question.
    """

    render: Render
    start_ids: tuple[int, ...] = ()
    takes_system: bool = True


def plain_template(messages: Sequence[Message]) -> str:
    r"""Render a conversation for a model that knows no template, as a written dialogue.

    Source: the form in which language models are prompted for dialogue since
    Rae et al. 2021 (Gopher), arXiv:2112.11446, appendix H.

    >>> plain_template([{"role": "user", "content": "Hi"}])
    'User: Hi\nAssistant:'
    """
    names = {Role.USER: "User: ", Role.ASSISTANT: "Assistant: "}
    lines = [f"{names.get(Role(message['role']), '')}{message['content']}\n" for message in messages]
    if messages and messages[0]["role"] == Role.SYSTEM:
        lines[0] += "\n"
    return "".join(lines) + "Assistant:"


PLAIN_STOP_STRINGS = ("\nUser:", "\nAssistant:")


def try_template(render: Render, start_ids: Sequence[int] = ()) -> ChatTemplate:
    """Find out how a template can be used.

    Raises:
        TemplateUnfit: It cannot, not even without a system turn.
    """
    talk = (Role.USER, Role.ASSISTANT, Role.USER)
    try:
        cut_at_turns(render, (Role.SYSTEM, *talk))
    except TemplateUnfit:
        cut_at_turns(render, talk)
        return ChatTemplate(render, tuple(start_ids), takes_system=False)
    return ChatTemplate(render, tuple(start_ids))


def text_after_answer(render: Render) -> str:
    """Return what the template writes between an answer and the next question."""
    return cut_at_turns(render, (Role.USER, Role.ASSISTANT, Role.USER))[2]


def cut_at_turns(render: Render, roles: Sequence[Role]) -> list[str]:
    r"""Return the template's own text before, between and after the turns: one piece more than roles.

    Raises:
        TemplateUnfit: The template refuses these roles, or leaves a turn out,
            repeats or reorders it.

    >>> cut_at_turns(plain_template, (Role.USER,))
    ['User: ', '\nAssistant:']
    """
    marks = [f"mark{secrets.token_hex(MARK_BYTES)}" for _ in roles]
    rest = render([{"role": role.value, "content": mark} for role, mark in zip(roles, marks, strict=True)])
    if any(rest.count(mark) != 1 for mark in marks):
        raise TemplateUnfit("the template does not show every turn exactly once")
    pieces = []
    for mark in marks:
        piece, found, rest = rest.partition(mark)
        if not found:
            raise TemplateUnfit("the template changes the order of the turns")
        pieces.append(piece)
    return [*pieces, rest]


def plain_ids(tokenizer: Tokenizer, text: str, after: int | None = None) -> list[int]:
    """Encode text of a person so that no control token comes of it, whatever it spells.

    Where the tokenizer makes one all the same, the text is halved until it does
    not; a single character that is a control token by itself is left out.

    Args:
        tokenizer: Of the model.
        text: Whatever was written.
        after: The token that it follows, if there is one.
    """
    ids = tokenizer.encode_plain(text, after)
    if tokenizer.control_ids.isdisjoint(ids):
        return ids
    if len(text) <= 1:
        return []
    middle = len(text) // 2
    first = plain_ids(tokenizer, text[:middle], after)
    return first + plain_ids(tokenizer, text[middle:], _last(first, after))


def first_kept(costs: Sequence[int], budget: int) -> int:
    """Return from which exchange on the history is kept.

    On overflow it is cut to half of the budget, so that the following prompts
    begin alike again and their computed prefix can be reused. Replaying the
    growth from the first exchange finds the same cut each time; of histories
    that begin later with each turn the caller remembers it (`cuts`).

    Args:
        costs: Tokens of each exchange, oldest first, the newest question last.
        budget: How many tokens there is room for.

    >>> first_kept([10, 10, 10], 30), first_kept([10, 10, 10, 10], 30), first_kept([10] * 5, 30)
    (0, 3, 3)
    """
    first = size = 0
    for place, cost in enumerate(costs):
        size += cost
        if size > budget:
            while first < place and size > budget // 2:
                size -= costs[first]
                first += 1
    return first


class PromptBuilder:
    """Builds prompts for one model."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate, context_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._context_tokens = context_tokens
        pieces = cut_at_turns(template.render, (Role.USER, Role.ASSISTANT, Role.USER))
        self._most_frame_tokens = max(len(tokenizer.encode(piece)) for piece in pieces) + 1
        _, before_answer, before_question, _ = (_last(tokenizer.encode(piece.rstrip(" "))) for piece in pieces)
        self._before = {Role.ASSISTANT: before_answer, Role.USER: before_question}

    def build(self, system: str, turns: Sequence[Turn], max_new_tokens: int) -> EnginePrompt:
        """Return the ids of the system text and of as many whole exchanges as fit, the newest question last.

        Args:
            system: Never cut; may be empty.
            turns: Oldest first; what stands before the first question is left out.
            max_new_tokens: The answer's share of the context; made smaller only
                when the newest question leaves less than that.

        Raises:
            PromptTooLong: The newest question leaves no room for an answer.
        """
        exchanges = _exchanges(turns)
        newest = self._cost(exchanges[-1])
        frame = len(self._lay(system, exchanges[-1])[0]) - newest
        budget = self._context_tokens - max_new_tokens
        first = first_kept([self._cost(exchange) for exchange in exchanges], budget - frame)
        kept = [turn for exchange in exchanges[first:] for turn in exchange]
        ids, shared_tokens = self._lay(system, kept)
        room = self._context_tokens - len(ids)
        if room < min(max_new_tokens, LEAST_ANSWER_TOKENS):
            raise PromptTooLong(f"the newest message makes a prompt of {len(ids)} tokens, limit {self._context_tokens}")
        return EnginePrompt(tuple(ids), len(kept), min(max_new_tokens, room), shared_tokens)

    def _cost(self, exchange: Sequence[Turn]) -> int:
        """How many tokens an exchange takes at most, with the template's around its turns."""
        return sum(
            len(plain_ids(self._tokenizer, turn.text, self._before.get(turn.role))) + self._most_frame_tokens
            for turn in exchange
        )

    def _lay(self, system: str, turns: Sequence[Turn]) -> tuple[list[int], int]:
        """Lay template and turns one after another; the ids, and how many stand before the first question's text."""
        spoken = list(turns)
        if system and self._template.takes_system:
            spoken.insert(0, Turn(Role.SYSTEM, system))
        elif system:
            spoken[0] = Turn(spoken[0].role, f"{system}\n\n{spoken[0].text}")
        *before, end = cut_at_turns(self._template.render, [turn.role for turn in spoken])
        start_ids = self._template.start_ids  # put before a text that is encoded whole: it begins behind them
        ids: list[int] = []
        shared_tokens = None
        for piece, turn in zip(before, spoken, strict=True):
            # A blank before a word is part of the word's token: it is encoded with the text that follows.
            frame = piece.rstrip(" ")
            ids += self._tokenizer.encode(frame, _last(ids))
            if turn.role is Role.USER and shared_tokens is None:
                shared_tokens = len(start_ids) + len(ids)
            ids += plain_ids(self._tokenizer, piece[len(frame) :] + turn.text, _last(ids))
        return [*start_ids, *ids, *self._tokenizer.encode(end, _last(ids))], shared_tokens or 0


def _last(ids: Sequence[int], otherwise: int | None = None) -> int | None:
    return ids[-1] if ids else otherwise


def _exchanges(turns: Sequence[Turn]) -> list[list[Turn]]:
    """Group turns so that each group begins with a question.

    >>> hi, ho = Turn(Role.USER, "hi"), Turn(Role.ASSISTANT, "ho")
    >>> [len(exchange) for exchange in _exchanges([ho, hi, ho, hi])]
    [2, 1]
    """
    exchanges: list[list[Turn]] = []
    for turn in turns:
        if turn.role is Role.USER:
            exchanges.append([turn])
        elif exchanges:
            exchanges[-1].append(turn)
    return exchanges
