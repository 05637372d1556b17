"""Everything that can go wrong on purpose.

    BotBridgeError
    ├── ConfigError                     start-up only, exit code 2
    ├── ConversationError
    ├── StorageError
    │   ├── StorageUnavailable
    │   ├── SchemaOutOfDate
    │   ├── DatabaseInUse
    │   └── TurnNotFound
    ├── ModelError
    │   ├── ModelNotFound
    │   ├── ModelGated
    │   ├── ModelNotLicensed
    │   ├── ModelDamaged
    │   ├── DownloadFailed
    │   ├── CatalogueInvalid
    │   └── AdapterMismatch
    ├── InferenceError
    │   ├── ModelLoadError
    │   │   └── ModelUnavailable        nothing was computed: no message is to blame
    │   ├── PromptTooLong
    │   ├── AdapterUnusable
    │   ├── GenerationTimeout
    │   ├── GenerationFailed
    │   ├── NotReplayable
    │   └── WorkerDied
    ├── NotMeasured
    ├── NotDrawn
    ├── ControlError
    └── PlatformError
        ├── PlatformUnavailable         nothing can have been delivered: try again
        ├── DeliveryUnknown             it may have been delivered: do not
        ├── RateLimited(retry_after_s)
        ├── ReplyRejected               the platform will never take it
        │   └── ChatClosed              nor anything else in this chat
        ├── MessageGone                 the message to edit is no longer there
        └── BadToken

Errors of libraries become one of these in one place per boundary, always with
`raise ... from error`. Positional arguments only, so that every error survives
pickling.
"""

from __future__ import annotations

from botbridge.sentences import Sentence


class BotBridgeError(Exception):
    """The root: every failure that botbridge foresees."""

    @property
    def reason(self) -> str:
        """What it says: the sentence that it was made with, which can be said in another language, or plain text."""
        return next((each for each in self.args if isinstance(each, Sentence)), str(self))


class ConfigError(BotBridgeError):
    """A setting is missing, misspelt or out of bounds."""


class ConversationError(BotBridgeError):
    """What a person asked for is not possible."""


class StorageError(BotBridgeError):
    """The database did not do what it should."""


class StorageUnavailable(StorageError):
    """The database cannot be read or written now: locked, full, read-only or damaged."""


class SchemaOutOfDate(StorageError):
    """The database was written by another version and cannot be migrated by this one."""


class DatabaseInUse(StorageError):
    """Another process holds this database."""


class TurnNotFound(StorageError):
    """There is no such answer, or what it was computed from is not kept any more."""


class ModelError(BotBridgeError):
    """The model's files are not usable; a second sentence may say what mends that."""

    def __str__(self) -> str:
        return "; ".join(map(str, self.args))


class ModelNotFound(ModelError):
    """No model of this name, here or on the hub."""


class ModelGated(ModelError):
    """The hub wants a token and an accepted licence first."""


class ModelNotLicensed(ModelError):
    """Its licence forbids what it is to be used for, or was not accepted for it."""


class ModelDamaged(ModelError):
    """A file does not have the hash or the form that it should have."""


class DownloadFailed(ModelError):
    """The files could not be fetched; trying again may help."""


class CatalogueInvalid(ModelError):
    """A file of models says what no model can be; the sentence names file, entry and field."""


class AdapterMismatch(ModelError):
    """The adapter was made for another model."""


class InferenceError(BotBridgeError):
    """The model could not answer."""


class ModelLoadError(InferenceError):
    """The worker could not load the model."""


class ModelUnavailable(ModelLoadError):
    """There is no model to be asked at the moment; nothing was computed, so no message is to blame for it."""


class PromptTooLong(InferenceError):
    """Even the newest message alone does not fit into the model's context."""


class AdapterUnusable(InferenceError):
    """The adapter that the prompt names is not here, or cannot be used; the sentence names it."""


class GenerationTimeout(InferenceError):
    """The answer was not finished before its deadline."""


class GenerationFailed(InferenceError):
    """This answer failed by itself: the engine raised, or a server dropped it; the others are not affected."""


class NotReplayable(InferenceError):
    """An answer cannot be computed again here as it was computed then."""


class WorkerDied(InferenceError):
    """The worker process ended while it held the request, and all others that it held."""


class NotMeasured(BotBridgeError):
    """What is asked of this machine was never measured on it; the sentence names the command that does."""


class NotDrawn(BotBridgeError):
    """A drawing could not be made or written."""


class ControlError(BotBridgeError):
    """The running service could not be asked through its control socket."""


class PlatformError(BotBridgeError):
    """A messaging platform did not take what we gave it."""


class PlatformUnavailable(PlatformError):
    """The platform cannot be reached; nothing was delivered, so it may be tried again."""


class DeliveryUnknown(PlatformError):
    """The platform took the request and never said what became of it."""


class RateLimited(PlatformError):
    """The platform wants a pause."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"rate limited for {self.retry_after_s:g} s"


class ReplyRejected(PlatformError):
    """The platform refuses this message for good, for its content or as `ChatClosed` says."""


class ChatClosed(ReplyRejected):
    """The chat takes nothing from the bot any more: blocked, removed, silenced, or the chat itself is gone."""


class MessageGone(PlatformError):
    """The message that should be edited was deleted, or can be edited no more."""


class BadToken(PlatformError):
    """The platform does not know our token."""
