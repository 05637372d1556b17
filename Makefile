# Every verb sets up what it needs, says what it does, and is quick the second time.
# PYTHON=/path/to/python3 names the Python to set up with; TORCH_INDEX_URL the index to take torch from.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev native run chat demo test test-slow guards soak check fmt bench bench-plan docs pins

BIN := .venv/bin
INSTALL = python=$$(sh scripts/find_python.sh) && "$$python" scripts/install.py

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## Install botbridge into .venv
	@$(INSTALL)

setup-dev: ## The same, with the tools for tests and checks
	@$(INSTALL) --dev

native: setup ## Add the fastest engine: llama.cpp, compiled for this processor (five minutes, once)
	@$(BIN)/python scripts/native.py

run: setup ## Start the bot on every platform that has a token; with none, a chat in this terminal
	@$(BIN)/botbridge run

chat: setup ## Talk to the model in this terminal
	@$(BIN)/botbridge chat

demo: setup-dev ## Play a conversation on both platforms against local test servers
	@$(BIN)/python -m examples.demo

# One process more than cores: much of what is tested waits for sockets and for other processes.
test: setup-dev ## Run the quick tests, and the examples in docstrings
	@$(BIN)/python -m pytest -q -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --dist loadfile -m "not slow" --doctest-modules botbridge scripts tests

test-slow: setup-dev ## Run the tests with faults and with the real model
	@$(BIN)/python -m pytest -q -n logical --dist loadfile -m slow

guards: setup-dev ## Take each guard of docs/reliability.md out once, and see its test fail (a quarter of an hour)
	@$(BIN)/python -m tests.guards $(CASES)

MINUTES ?= 10
soak: setup-dev ## Let many people talk for MINUTES=10 while everything is killed, then count what was lost
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES)

check: setup-dev ## Look for mistakes without running anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

fmt: setup-dev ## Put code into its one form, and mend what can be mended by a tool
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup-dev native ## Compare with other servers, each ratio beside its goal (half an hour; docs/performance.md)
	@$(BIN)/python -m pip --disable-pip-version-check install -q --no-deps -r benchmarks/peers.txt
	@$(BIN)/python -m benchmarks

bench-plan: setup-dev ## Compare the waits that `plan` foresees with those at a real bridge (four minutes)
	@$(BIN)/python -m benchmarks.plan_check

docs: setup-dev ## Write the parts of the documentation that come from code: .env.example, README's table of models
	$(BIN)/python -m scripts.env_example
	$(BIN)/python -m scripts.model_table

pins: setup-dev ## Write constraints.txt from what is installed in .venv
	$(BIN)/python -m scripts.pins
