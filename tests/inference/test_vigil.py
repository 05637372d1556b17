"""When a worker counts as hanging."""

from __future__ import annotations

from botbridge.answers import RequestId
from botbridge.health import WorkerHealth
from botbridge.inference.options import Patience
from botbridge.inference.protocol import DeltaMessage, Heartbeat
from botbridge.inference.vigil import Vigil, retry_pause_s

PATIENCE = Patience(heartbeat_s=1, silent_s=3, stalled_s=5, load_s=20)


def loaded() -> Vigil:
    """A vigil over a worker that has its model."""
    vigil = Vigil(PATIENCE)
    vigil.loaded()
    return vigil


def looks(vigil: Vigil, count: int, message: object = None) -> str | None:
    """The first verdict of so many looks, each after a message if one is given."""
    for _ in range(count):
        if message is not None:
            vigil.heard(message)
        verdict = vigil.look()
        if verdict is not None:
            return verdict
    return None


def test_a_silent_worker_hangs() -> None:
    """At the first look after its time."""
    vigil = loaded()
    assert looks(vigil, 3) is None
    assert vigil.look() == "gave no sign of life for 3 s"


def test_any_message_is_a_sign_of_life() -> None:
    """Not heartbeats alone."""
    vigil = loaded()
    assert looks(vigil, 100, DeltaMessage(1, RequestId("r"), "a", 1)) is None


def test_a_worker_whose_tokens_stand_still_hangs_although_it_beats() -> None:
    """Its heart beats in a thread of its own."""
    assert looks(loaded(), 100, Heartbeat(1, running=1, tokens_total=7)) == "computed no token for 5 s"


def test_a_slow_worker_does_not_hang() -> None:
    """One token in four looks is progress."""
    vigil = loaded()
    for tokens_total in range(50):
        assert looks(vigil, 4, Heartbeat(1, running=1, tokens_total=tokens_total)) is None


def test_an_idle_worker_does_not_hang() -> None:
    """No tokens are expected of it; a request that comes later has its full time."""
    vigil = loaded()
    assert looks(vigil, 100, Heartbeat(1, running=0, tokens_total=7)) is None
    assert looks(vigil, 4, Heartbeat(1, running=1, tokens_total=7)) is None


def test_the_signs_tell_how_far_the_worker_has_come() -> None:
    """By its last heartbeat; in the middle of a prompt, too."""
    vigil = loaded()
    looks(vigil, 2, Heartbeat(1, running=1, tokens_total=7))
    assert vigil.look() is None
    assert vigil.signs == WorkerHealth(silent_s=2, stalled_s=3, tokens_total=7)


def test_loading_may_take_its_own_longer_time() -> None:
    """But not for ever."""
    vigil = Vigil(PATIENCE)
    assert looks(vigil, 20, Heartbeat(1, 0, 0)) is None
    assert vigil.look() == "did not load the model within 20 s"


def test_pauses_double_up_to_the_longest() -> None:
    """The first failure is followed by the shortest pause."""
    pauses = [retry_pause_s(failures, Patience(), chance=1.0) for failures in range(1, 9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert retry_pause_s(1000, Patience(), chance=0.0) == 15
