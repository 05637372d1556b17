"""What holds for every test: nothing of the operator's own set-up reaches it.

The network beyond loopback is closed by pytest-socket (see `addopts`).
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from botbridge.models.names import FAST_SUFFIX, LLAMACPP_SUFFIX
from botbridge.setting_groups import DEFAULT_MODEL

# An example's time says how busy the machine is, not whether the code is right; that of making it neither.
settings.register_profile("unhurried", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

MODEL_HOME = Path(os.environ.get("BOTBRIDGE_TEST_HOME") or Path(__file__).parents[1] / ".home")
"""Outlives the run, so that the model is fetched once; read before our variables are removed."""


@pytest.fixture(autouse=True, scope="module")
def nothing_left_open() -> Iterator[None]:
    """Collect the garbage of each file of tests, so that a warning about what it left open is its own.

    Otherwise it is told in whichever later test makes much garbage, property tests above
    all; two such warnings come as one `ExceptionGroup`.
    """
    yield
    gc.collect()


@pytest.fixture(autouse=True, scope="session")
def no_settings_of_the_operator() -> None:
    """Remove our variables, so that no test can use a real token."""
    for name in [name for name in os.environ if name.upper().startswith("BOTBRIDGE_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def model_home(no_settings_of_the_operator: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the default model, pulled as an operator would; use its `models` and nothing else of it."""
    kept = MODEL_HOME / "models" / DEFAULT_MODEL
    if any(kept.glob(f"*/*{FAST_SUFFIX}.gguf")) and not any(kept.glob(f"*/*{LLAMACPP_SUFFIX}.gguf")):
        shutil.rmtree(kept)  # it was pulled before pulls wrote all that they write now
    subprocess.run(
        [sys.executable, "-m", "botbridge", "models", "pull", DEFAULT_MODEL],
        check=True,
        cwd=tmp_path_factory.mktemp("pull"),  # no `.env` lies there
        env=os.environ | {"BOTBRIDGE_HOME": str(MODEL_HOME)},
        stdout=subprocess.DEVNULL,
    )
    return MODEL_HOME
