"""Files that say twice what the code says once are held to it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from scripts.env_example import ENV_EXAMPLE, env_example

ROOT = Path(__file__).resolve().parent.parent


def canonical(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, list[str]]:
    """Names of the dependencies by group."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"run": project["dependencies"], **project["optional-dependencies"]}
    return {
        group: [canonical(re.split(r"[\[<>=]", requirement)[0]) for requirement in requirements]
        for group, requirements in groups.items()
    }


def pinned() -> set[str]:
    """Names in constraints.txt."""
    return {
        canonical(name) for name in re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    }


def test_env_example_is_what_the_settings_say() -> None:
    assert ENV_EXAMPLE.read_text() == env_example(), "run `make docs`"


def test_each_dependency_is_explained_and_no_other() -> None:
    _, run, extra, develop = re.split(r"^## .*$", (ROOT / "docs" / "dependencies.md").read_text(), flags=re.MULTILINE)
    explained = {
        "run": re.findall(r"^\| ([a-z][\w.-]*) \| \w", run, re.MULTILINE)[1:],
        "dev": re.findall(r"^\| ([a-z][\w.-]*) \| \w", develop, re.MULTILINE)[1:],
    }
    for name, group in re.findall(r"^\| ([a-z][\w.-]*) \| (\w+) \|", extra, re.MULTILINE)[1:]:
        explained.setdefault(group, []).append(name)
    assert {group: [canonical(name) for name in names] for group, names in explained.items()} == declared()


def test_each_dependency_is_pinned() -> None:
    assert {name for names in declared().values() for name in names} - pinned() == set()


# Errors and types of a dependency that the dependency takes from elsewhere.
COMES_WITH = {
    "aiohttp": "discord-py",
    "httpx": "python-telegram-bot",
    "httpx2": "huggingface-hub",
    "pyromark": "telegramify-markdown",
    "safetensors": "transformers",
    "starlette": "fastapi",
    "tokenizers": "transformers",
    "yarl": "discord-py",
}

# The modules of extra engines; where these are not installed nobody else can tell.
COMES_UNINSTALLED = {
    "llama_cpp": ["llama-cpp-python"],
    "openai": ["openai"],
    "openvino": ["openvino"],
    "peft": ["peft"],
}


def imported_by(file: Path) -> set[str]:
    """The top-level modules that a file imports, at its top or further down."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"botbridge"}


def test_what_the_package_imports_is_declared() -> None:
    distributions = {**COMES_UNINSTALLED, **packages_distributions()}
    imported = {name for file in (ROOT / "botbridge").rglob("*.py") for name in imported_by(file)}
    owners = {name: {COMES_WITH.get(name, canonical(d)) for d in distributions[name]} for name in imported}
    to_run = {name for group, names in declared().items() if group != "dev" for name in names}
    assert {name: owner for name, owner in owners.items() if not owner & to_run} == {}


def test_compose_follows_the_specification() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_container_runs_as_nobody_special_on_a_file_system_that_it_cannot_write() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["botbridge"]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == "unless-stopped"
    assert "ports" not in service
    assert not [name for name in service.get("environment", {}) if "TOKEN" in name]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001", dockerfile, re.MULTILINE)
    assert re.search(r'^HEALTHCHECK .*\n? +CMD \["botbridge", "health"\]', dockerfile, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in dockerfile


def test_the_image_brings_the_engines_that_nobody_could_add_to_it() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    (by_default,) = re.findall(r'^ARG EXTRAS="(.*)"$', dockerfile, re.MULTILINE)
    assert {"remote", "lora"} <= set(by_default.split(",")) <= set(extras)
    assert '".[$EXTRAS]"' in dockerfile
    build = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["botbridge"]["build"]
    assert build["args"]["EXTRAS"] == f"${{EXTRAS-{by_default}}}"


def test_what_the_image_is_built_from_is_let_through_to_the_build() -> None:
    let_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = " ".join(copied).split()
    assert sorted(names) == sorted(let_through)
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("file", sorted(path.relative_to(ROOT) for path in (ROOT / "botbridge").rglob("*.py")), ids=str)
def test_no_module_is_longer_than_400_lines(file: Path) -> None:
    assert len((ROOT / file).read_text().splitlines()) <= 400


def test_no_access_token_is_written_in_the_code() -> None:
    """S3: the study's token stood in its program; here tokens come from the settings alone."""
    token = re.compile(r"\bhf_[A-Za-z0-9]{20,}|\b\d{8,}:[\w-]{35}\b|\b[\w-]{24,26}\.[\w-]{6}\.[\w-]{27,}")
    assert token.search('TOKEN = "hf_' + "a" * 34 + '"')
    sources = [*ROOT.glob("botbridge/**/*.py"), *ROOT.glob("examples/*"), *ROOT.glob("scripts/*"), ROOT / "README.md"]
    assert [path.name for path in sources if path.is_file() and token.search(path.read_text(encoding="utf-8"))] == []
