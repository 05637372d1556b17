"""How far an answer has come, and what it took: measured while it is made."""

from __future__ import annotations

from dataclasses import dataclass

from botbridge.answers import Completion, Delta, Prompt, Started
from botbridge.conversation.rates import Observation


@dataclass(slots=True)
class Progress:
    """One attempt at an answer; times are in seconds on the monotonic clock.

    Attributes:
        prompt_cost: What reading the prompt cost, in reply tokens.
        first_tokens: Tokens of the answer when its first words came; 0 before.
        first_streams: How many answers ran side by side then.
    """

    prompt_chars: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
    prompt_cost: float = 0.0
    begun_at_s: float = 0.0
    first_at_s: float = 0.0
    first_tokens: int = 0
    first_streams: int = 0
    completion_tokens: int = 0

    @property
    def spent(self) -> float:
        """What was computed for the answer so far, in reply tokens."""
        return self.prompt_cost + self.completion_tokens

    def begin(self, prompt: Prompt, started: Started, prompt_weight: float, now_s: float) -> None:
        """Note that the prompt is being read.

        Args:
            prompt_weight: What a prompt token costs, in reply tokens.
        """
        used = prompt.turns[-started.used_turns :] if started.used_turns else ()
        self.prompt_chars = len(prompt.system) + sum(len(turn.text) for turn in used)
        self.prompt_tokens = started.prompt_tokens
        self.computed_tokens = started.prompt_tokens - started.cached_tokens
        self.prompt_cost = self.computed_tokens * prompt_weight
        self.begun_at_s = now_s

    def add(self, delta: Delta, streams: int, now_s: float) -> int:
        """Note that there are more words; how many tokens they have."""
        if self.first_tokens == 0:
            self.first_at_s, self.first_tokens, self.first_streams = now_s, delta.completion_tokens, streams
        more = delta.completion_tokens - self.completion_tokens
        self.completion_tokens = delta.completion_tokens
        return more

    def end(self, completion: Completion, streams: int, now_s: float) -> Observation:
        """Note that the answer is whole; what it took."""
        self.completion_tokens = completion.provenance.completion_tokens
        has_words = self.first_tokens > 0
        return Observation(
            prompt_chars=self.prompt_chars,
            prompt_tokens=self.prompt_tokens,
            computed_tokens=self.computed_tokens,
            prefill_s=self.first_at_s - self.begun_at_s if has_words else 0.0,
            completion_tokens=self.completion_tokens,
            decode_tokens=self.completion_tokens - self.first_tokens if has_words else 0,
            decode_s=now_s - self.first_at_s if has_words else 0.0,
            # People come and go meanwhile; the middle of both ends is near enough.
            streams=max(1, round((self.first_streams + streams) / 2)),
        )
