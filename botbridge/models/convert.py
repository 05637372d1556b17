"""Turn a GGUF file into what engines load; runs as a child process of its own.

    python -m botbridge.models.convert [--without-weights] SOURCE.gguf DIRECTORY

It imports torch, and only once the file is known to be a GGUF: the service
stays small because it starts this as a process instead of calling it.

Covered: any architecture that transformers reads from GGUF. The weights are
dequantized once and stored as bfloat16: half of what float32 takes to store and
to load, and far finer than the 4 and 8 bits they come from. Without weights,
any architecture: tokenizer, chat template and generation settings, and the
configuration where transformers knows the architecture. Not covered: keeping
the quantization (engines that want it read the GGUF itself, which stays beside
the result).
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from botbridge.models.child import run_as_child
from botbridge.models.gguf_header import read_gguf_header
from botbridge.models.vocabulary import Facts, end_ids, make_tokenizer, read_facts

WITHOUT_WEIGHTS = "--without-weights"


def convert(source: Path, directory: Path) -> None:
    """Write config, weights, tokenizer and chat template of `source` into `directory`.

    Raises:
        ModelDamaged: The file is no GGUF, is cut short, or holds weights of an unknown type.
        ValueError: Its architecture is unknown, or the result would not speak
            as the source says it should.
    """
    read_gguf_header(source)

    import torch  # noqa: PLC0415  (seconds and hundreds of megabytes: only for a file that is a GGUF)
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    facts = read_facts(source)
    tokenizer = make_tokenizer(source, facts)
    config = AutoConfig.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    tensors = load_gguf_checkpoint(  # type: ignore[no-untyped-call]
        str(source), return_tensors=True, model_to_load=model, torch_dtype=torch.bfloat16
    )["tensors"]
    missing, unexpected = model.load_state_dict(tensors, strict=False, assign=True)
    model.tie_weights()
    lost = [weight for weight in missing if model.get_parameter(weight).is_meta] + list(unexpected)
    if lost:
        message = f"weights do not fit the architecture: {', '.join(lost[:3])}"
        raise ValueError(message)
    model.generation_config = generation_settings(tokenizer, facts)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def describe(source: Path, directory: Path) -> None:
    """Write all that `convert` writes but the weights; no config where transformers knows no such architecture.

    Raises:
        ModelDamaged: As `convert`.
        ValueError: The tokenizer would not speak as the source says it should.
    """
    header = read_gguf_header(source)

    from transformers import AutoConfig  # noqa: PLC0415
    from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS  # noqa: PLC0415
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES  # noqa: PLC0415

    facts = read_facts(source)
    tokenizer = make_tokenizer(source, facts)
    if header.facts["general.architecture"] in {*GGUF_SUPPORTED_ARCHITECTURES, *GGUF_CONFIG_ARCHS}:
        config = AutoConfig.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
        config.save_pretrained(directory)
    generation_settings(tokenizer, facts).save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def generation_settings(tokenizer: Any, facts: Facts) -> Any:  # noqa: ANN401  (transformers' own are untyped)
    """Return which tokens begin and end a text, as transformers stores it."""
    from transformers import GenerationConfig  # noqa: PLC0415

    return GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=tokenizer.bos_token_id, eos_token_id=end_ids(facts), pad_token_id=tokenizer.pad_token_id
    )


def main(arguments: list[str]) -> int:
    """Convert as asked on the command line; 0 when it worked, 1 with one line on stderr when not, 2 for wrong use."""
    paths = [Path(argument) for argument in arguments if argument != WITHOUT_WEIGHTS]
    if len(paths) != 2:  # noqa: PLR2004  (source and directory)
        print(f"usage: python -m botbridge.models.convert [{WITHOUT_WEIGHTS}] SOURCE.gguf DIRECTORY", file=sys.stderr)  # noqa: T201
        return 2
    return run_as_child(partial(describe if WITHOUT_WEIGHTS in arguments else convert, *paths))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
