"""Sentences that one part of botbridge makes and another says, perhaps in another language. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Protocol, Self


class Words(Protocol):
    """One language's sentences, each by its English form."""

    def say(self, sentence: str, **values: object) -> str:
        """A sentence with its `{names}` filled in."""


class Sentence(str):  # noqa: SLOT000 - what a string remembers beside itself has to be set after it was made
    """An English sentence that remembers its form and what fills it; it is written into JSON as any string is.

    What is put together in another way, by `+`, `join` or an f-string, is a plain string and has forgotten both.

    >>> Sentence("needs {needs}, has {has}", needs="7.2 GB", has="2 GB")
    'needs 7.2 GB, has 2 GB'

    Attributes:
        form: With a `{name}` for each value.
        values: What fills it, by name; sentences among them are said in the same language.
    """

    form: str
    values: tuple[tuple[str, object], ...]

    def __new__(cls, form: str, /, **values: object) -> Self:
        """Fill a form in."""
        sentence = super().__new__(cls, form.format(**values))
        sentence.form, sentence.values = form, tuple(values.items())
        return sentence

    @classmethod
    def of(cls, text: str) -> Self:
        """Return a text of somebody else's, braces and all, to be said in another language where that knows it.

        >>> Sentence.of("so {it} is")
        'so {it} is'
        """
        return cls(text.replace("{", "{{").replace("}", "}}"))

    def refilled(self, change: Callable[[object], str]) -> Self:
        """Return the same sentence with everything changed that fills it, and what fills the sentences within it.

        >>> Sentence("{file} is cut short", file="a.gguf").refilled(lambda name: str(name).upper())
        'A.GGUF is cut short'
        """
        values = {
            name: value.refilled(change) if isinstance(value, Sentence) else change(value)
            for name, value in self.values
        }
        return type(self)(self.form, **values)

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, object]]:
        """Copies and pickles are made anew, too."""
        return (self.form,), dict(self.values)


def said(text: str, words: Words) -> str:
    """Say a sentence in a language; a plain string is a name, a command or a number and stays as it is."""
    if not isinstance(text, Sentence):
        return text
    values = {name: said(value, words) if isinstance(value, str) else value for name, value in text.values}
    return words.say(text.form, **values)


def listed(parts: Iterable[str]) -> str:
    """Put sentences beside one another.

    >>> listed([Sentence("a GGUF"), Sentence("safetensors")])
    'a GGUF, safetensors'
    """
    return reduce(lambda first, more: Sentence("{first}, {more}", first=first, more=more), parts)


def clauses(parts: Iterable[str]) -> str:
    """Put whole clauses beside one another.

    >>> clauses([Sentence("it fits"), Sentence("nothing is lacking")])
    'it fits; nothing is lacking'
    """
    return reduce(lambda first, more: Sentence("{first}; {more}", first=first, more=more), parts)


def either(parts: Iterable[str]) -> str:
    """Name a choice.

    >>> either(["GGUF", "safetensors"])
    'GGUF or safetensors'
    """
    return reduce(lambda first, more: Sentence("{first} or {more}", first=first, more=more), parts)
