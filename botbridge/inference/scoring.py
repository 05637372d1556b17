"""How well a model foresees a text; runs as a process of its own, so that its memory is given back.

    python -m botbridge.inference.scoring ENGINE DTYPE QUANTIZE DIRECTORY < text

prints a `Scores` as JSON. The text is cut into lanes that are read side by
side, token by token, through the same port that answers use: what is judged is
what people get, not another path through the model.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import exp
from pathlib import Path
from typing import Final

import numpy as np

from botbridge.errors import ModelLoadError
from botbridge.inference.choice import NEEDED_MODULES
from botbridge.inference.engines.base import describe
from botbridge.inference.engines.loaders import loader
from botbridge.inference.engines.step import LoadedModel
from botbridge.inference.options import EngineOptions
from botbridge.inference.spawning import worker_environment
from botbridge.models.files import ModelFiles

LANES: Final = 8


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model thought of a text.

    Attributes:
        log_probability: Of all scored tokens together, natural logarithm.
        likeliest: The token that the model would have chosen, for each scored one.
    """

    log_probability: float
    likeliest: tuple[int, ...]

    @property
    def perplexity(self) -> float:
        """How many tokens the model wavered between, on average.

        >>> Scores(-2.0794415, (1, 2, 3)).perplexity
        2.0
        """
        return round(exp(-self.log_probability / len(self.likeliest)), 6)


def score(loaded: LoadedModel, ids: Sequence[int], start_ids: Sequence[int] = ()) -> Scores:
    """Score every token of a text but the first of each lane.

    Args:
        loaded: The model.
        ids: The text, two tokens a lane or more; a rest that fills no lane is left out.
        start_ids: What the model is used to reading before every text; each lane begins with it. Without its
            beginning-of-text token a model such as Gemma foresees nothing.

    Raises:
        ValueError: The text is too short.
    """
    length = len(ids) // LANES
    if length < 2:  # noqa: PLR2004 - one token to read, one to foresee
        raise ValueError(f"a text of {len(ids)} tokens is too short to be scored")
    lanes = np.asarray(ids[: length * LANES]).reshape(LANES, length)  # (L, T)
    sequences = [loaded.model.open() for _ in range(LANES)]
    log_probability, likeliest = 0.0, []
    for place in range(length - 1):
        before = [] if place else start_ids
        work = [(sequence, [*before, int(lane[place])]) for sequence, lane in zip(sequences, lanes, strict=True)]
        logits = loaded.model.forward(work).astype(np.float64)  # (L, V)
        logits -= logits.max(axis=1, keepdims=True)
        log_sums = np.log(np.exp(logits).sum(axis=1))  # (L,)
        log_probability += float((logits[np.arange(LANES), lanes[:, place + 1]] - log_sums).sum())
        likeliest.append(logits.argmax(axis=1))  # (L,)
    for sequence in sequences:
        loaded.model.close(sequence)
    return Scores(log_probability, tuple(int(token_id) for token_id in np.stack(likeliest, axis=1).ravel()))


def score_in_child(
    engine: str, dtype: str, files: ModelFiles, text: str, threads: int, *, quantize: str = "none"
) -> Scores:
    """Have a text scored by another process.

    Raises:
        ModelLoadError: The engine cannot load or score the model; the sentence says why.
    """
    command = [sys.executable, "-m", "botbridge.inference.scoring", engine, dtype, quantize, str(files.directory)]
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env=worker_environment(os.environ, threads),
    )
    if done.returncode != 0:
        complaint = done.stderr.strip().splitlines()
        raise ModelLoadError(complaint[-1] if complaint else f"scoring ended with exit code {done.returncode}")
    found = json.loads(done.stdout)
    return Scores(found["log_probability"], tuple(found["likeliest"]))


def main(arguments: Sequence[str]) -> int:
    """Score standard input as the command line says; 0 when it worked, 1 with one line on stderr when not."""
    engine, dtype, quantize, directory = arguments
    files = ModelFiles("scored", "", Path(directory))
    try:
        if engine not in NEEDED_MODULES:
            raise ValueError(f"the engine {engine} does not show what it thinks of a text")
        load = loader(engine)
        from botbridge.inference.engines.hf_tokenizer import HfTokenizer, load_tokenizer, start_ids  # noqa: PLC0415

        loaded = load(files, EngineOptions(engine=engine, dtype=dtype, quantize=quantize, device="cpu", slots=LANES))
        tokenizer = load_tokenizer(files)
        ids = HfTokenizer(tokenizer).encode_plain(sys.stdin.read())
        scores = score(loaded, ids, start_ids(tokenizer))
    except Exception as error:  # noqa: BLE001 - libraries raise anything at all over a bad model
        print(describe(error), file=sys.stderr)  # noqa: T201 - this process's answer
        return 1
    print(json.dumps(asdict(scores)))  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
