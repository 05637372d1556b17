"""Which torch is installed, and when set-up stops before a download of gigabytes."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from scripts.install import (
    CPU_INDEX_URL,
    ROOT,
    Machine,
    SetupFailed,
    answers,
    fingerprint,
    has_openvino,
    install_openvino,
    is_set_up,
    needs_cuda,
    pinned,
    refusal,
    set_up,
    torch_index,
)

LAPTOP = Machine("Linux", "x86_64", has_gpu=False)
WITH_GPU = Machine("Linux", "x86_64", has_gpu=True)
ARM = Machine("Linux", "aarch64", has_gpu=False)
MAC = Machine("Darwin", "arm64", has_gpu=False)

# Requires-Dist of the torch wheels, shortened.
CUDA_13 = [
    "filelock",
    'cuda-toolkit[cublas]==13.0.3; platform_system == "Linux"',
    'triton==3.5; platform_system == "Linux"',
]
CUDA_12 = ["filelock", 'nvidia-cudnn-cu12==9.1; platform_system == "Linux" and platform_machine == "x86_64"']
CPU = ["filelock", "typing-extensions>=4.10.0", "sympy", 'optree>=0.13.0; extra == "optree"']


def test_an_index_that_was_asked_for_is_taken_without_looking_further() -> None:
    assert torch_index("http://mirror/cu130", cpu_index_answers=True) == "http://mirror/cu130"


def test_else_the_cpu_index_when_it_answers_else_the_index_of_pip() -> None:
    assert torch_index("", cpu_index_answers=True) == CPU_INDEX_URL
    assert torch_index("", cpu_index_answers=False) is None


@pytest.mark.parametrize(
    ("requirements", "machine", "is_cuda"),
    [
        (CUDA_13, LAPTOP, True),
        (CUDA_12, LAPTOP, True),
        (CUDA_12, ARM, False),
        (CUDA_13, MAC, False),
        (CPU, LAPTOP, False),
        ([], LAPTOP, False),
        (['nvidia-extra; extra == "cuda"'], LAPTOP, False),
    ],
)
def test_a_cuda_build_is_known_by_what_it_requires_on_this_machine(
    requirements: list[str], machine: Machine, is_cuda: bool
) -> None:
    assert needs_cuda(requirements, machine) is is_cuda


def test_without_a_gpu_a_cuda_build_is_refused_with_what_to_set() -> None:
    told = refusal("2.13.0", CUDA_13, LAPTOP)
    assert told is not None
    assert "torch 2.13.0" in told
    assert "TORCH_INDEX_URL" in told


def test_with_a_gpu_or_for_a_cpu_build_there_is_no_refusal() -> None:
    assert refusal("2.13.0", CUDA_13, WITH_GPU) is None
    assert refusal("2.13.0+cpu", CPU, LAPTOP) is None


def test_an_address_that_cannot_be_looked_up_does_not_answer() -> None:
    assert not answers("http://botbridge.invalid/", timeout_s=1.0)


def test_the_constraints_pin_torch_without_local_version_and_bring_no_cuda() -> None:
    constraints = (ROOT / "constraints.txt").read_text()
    assert pinned("torch", constraints) == "torch==2.13.0"
    assert not needs_cuda(constraints.splitlines(), LAPTOP)
    assert "--hash" not in constraints
    assert "://" not in constraints


def python_saying(folder: Path, stderr: str) -> Path:
    """A Python whose pip fails with these words."""
    command(folder, "python", f"echo '{stderr}' >&2; exit 1")
    return folder / "python"


def test_without_a_build_of_openvino_set_up_goes_on_and_says_so_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the words of pip itself, which finds nothing here."""
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path), "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    assert not install_openvino(Path(sys.executable), "openvino==0.1")
    told = "setup: there is no openvino==0.1 for this machine and this Python; botbridge goes on without that engine\n"
    assert capfd.readouterr().err == told


def test_any_other_failure_to_add_openvino_ends_set_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupFailed, match="pip install openvino==1 failed"):
        install_openvino(python_saying(tmp_path, "ERROR: No space left on device"), "openvino==1")
    assert capfd.readouterr().err == "ERROR: No space left on device\n"


@pytest.mark.parametrize("dev", [False, True])
def test_every_set_up_adds_openvino_in_the_version_of_its_extra(tmp_path: Path, dev: bool) -> None:
    """With or without the tools for tests; the environment's Python notes what it is asked for."""
    (tmp_path / "bin").mkdir()
    command(tmp_path / "bin", "python", f'echo "$@" >> {tmp_path}/asked')
    set_up(tmp_path, dev=dev, editable=True)
    assert (tmp_path / f"botbridge-{'dev' if dev else 'run'}.stamp").read_text() == fingerprint(dev=dev)
    *_, last = (tmp_path / "asked").read_text().splitlines()
    assert " install -q --no-deps --only-binary=openvino " in last
    assert f'openvino = ["{last.split()[-1]}"]' in (ROOT / "pyproject.toml").read_text()


def find_python(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the search for a Python with only one folder on the PATH."""
    return subprocess.run(
        ["/bin/sh", ROOT / "scripts" / "find_python.sh"],
        env={"PATH": str(path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def command(folder: Path, name: str, script: str) -> None:
    """Put an executable script into a folder."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_no_python_at_all_is_said_with_what_to_install(tmp_path: Path) -> None:
    done = find_python(tmp_path)
    assert done.returncode == 1
    assert "no Python 3.11 to 3.14 with venv and pip" in done.stderr
    assert "Ubuntu 22.04: apt install python3.11 python3.11-venv" in done.stderr


def test_a_python_that_is_too_old_or_lacks_venv_is_passed_over(tmp_path: Path) -> None:
    command(tmp_path, "python3", "echo 'it is older than 3.11'; exit 1")
    command(tmp_path, "python3.13", 'case "$*" in *ensurepip*) exit 1;; esac')
    command(tmp_path, "python3.12", f'exec {sys.executable} "$@"')
    assert find_python(tmp_path).stdout == "python3.12\n"


def test_a_python_that_is_too_new_is_passed_over(tmp_path: Path) -> None:
    """Its own is asked with the version of a later one."""
    newer = f"exec {sys.executable} -c 'import sys; sys.version_info = (3, 15, 0); exec(sys.argv[2])' \"$@\""
    command(tmp_path, "python3", newer)
    command(tmp_path, "python3.12", f'exec {sys.executable} "$@"')
    assert find_python(tmp_path).stdout == "python3.12\n"
    assert "it is newer than 3.14" in find_python(tmp_path, PYTHON="python3").stderr


def test_a_named_python_that_will_not_do_is_said_with_the_reason(tmp_path: Path) -> None:
    command(tmp_path, "old", "echo 'it is older than 3.11' >&2; exit 1")
    done = find_python(tmp_path, PYTHON="old")
    assert (done.returncode, done.stderr) == (1, "setup: PYTHON=old will not do: it is older than 3.11\n")
    assert "is not a command" in find_python(tmp_path, PYTHON="nowhere").stderr


def environment(folder: Path, *, stamp: str, has_openvino: bool) -> Path:
    """A bare virtual environment, with what a set-up with the tools for tests would note in it."""
    venv.create(folder, symlinks=True)
    (folder / "botbridge-dev.stamp").write_text(stamp)
    if has_openvino:
        (site_packages,) = (folder / "lib").glob("python*/site-packages")
        (site_packages / "openvino.py").write_text("raise SystemExit('nobody should import this')\n")
    return folder


def test_set_up_does_nothing_when_the_stamp_fits(tmp_path: Path) -> None:
    """And does not import openvino, which takes seconds, to see that it is there."""
    environment(tmp_path, stamp=fingerprint(dev=True), has_openvino=True)
    for arguments in (["--dev"], []):
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / "install.py", "--venv", tmp_path, *arguments],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_stamp_does_not_count_where_openvino_has_gone(tmp_path: Path) -> None:
    """Else `make setup`, which is said to add it, would do nothing."""
    python = environment(tmp_path, stamp="", has_openvino=False) / "bin" / "python"
    assert not is_set_up(python, [("abc", "abc")], "openvino==1")
    assert not has_openvino(python)


def test_where_there_was_no_build_of_openvino_that_is_said_and_the_stamp_counts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = environment(tmp_path, stamp="", has_openvino=False) / "bin" / "python"
    assert is_set_up(python, [("abc without-openvino", "abc")], "openvino==1")
    told = "setup: there is no openvino==1 for this machine and this Python; botbridge goes on without that engine\n"
    assert capfd.readouterr().err == told
    assert not is_set_up(python, [("abc without-openvino", "xyz"), ("", "abc")], "openvino==1")


def test_what_a_set_up_without_openvino_notes_lets_the_next_do_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The environment's pip finds no build of it, and all else."""
    (tmp_path / "bin").mkdir()
    missing = "*--only-binary=openvino*) echo No matching distribution >&2; exit 1"
    script = f'case "$*" in *find_spec*) exit 1;; {missing};; esac'
    command(tmp_path / "bin", "python", f'echo "$@" >> {tmp_path}/asked\n{script}')
    set_up(tmp_path, dev=False, editable=True)
    (tmp_path / "asked").unlink()
    capfd.readouterr()
    set_up(tmp_path, dev=False, editable=True)
    assert "pip" not in (tmp_path / "asked").read_text()
    assert len(capfd.readouterr().err.splitlines()) == 1
