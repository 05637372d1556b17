"""A file of the operator's own, as `botbridge models add` takes it."""

from __future__ import annotations


def own_file(model: str = "mine", *, source: str = "my-card", title: str = "My card", more: str = "") -> str:
    """A right file with one model; `more` are further lines of it."""
    evidence = "\n".join(
        f'{fact} = ["{source}"]'
        for fact in ("parameters", "context_tokens", "architecture", "licence", "gated", "openness")
    )
    return f"""
[[source]]
id = "{source}"
title = "{title}"
date = 2026-01-02

[[model]]
id = "{model}"
title = "Mine"
hub_id = "org/mine"
parameters = 1000
nominal_b = 0.001
context_tokens = 64
architecture = "LlamaForCausalLM"
kind = "causal"
licence = "MIT"
gated = false
openness = {{ architecture = "yes", weights = "yes", training_code = "no", training_data = "no" }}
scores = [{{ benchmark = "MMLU", percent = 0, source = "{source}" }}]
{more}

[model.evidence]
{evidence}
"""
