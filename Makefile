# retina-kit: make setup | reproduce | test | lab | lint | lock | clean
# make setup TORCH=cpu leaves CUDA out (Linux); the other targets then keep to it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check
UV := uv==0.13.9
TORCH ?= $(patsubst $(VENV)/.ready-%,%,$(firstword $(wildcard $(VENV)/.ready-cpu) $(VENV)/.ready-default))
READY := $(VENV)/.ready-$(TORCH)
DEVELOP := $(VENV)/.developers

# Modules are compiled when first imported, and kept: compiling them again costs a notebook's kernel 8 seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup reproduce test lab lint lock clean

setup: $(READY)

$(VENV)/.ready-default: requirements.lock pyproject.toml
$(VENV)/.ready-cpu: requirements-cpu.lock pyproject.toml
$(DEVELOP): $(READY) requirements-dev.lock

# One make at a time installs; one that had to wait then looks again at what is left to do (and at the choice of TORCH).
ifndef ALONE
INSTALL := $(PYTHON) .ci/one_at_a_time.py $(MAKE) --no-print-directory ALONE=yes
$(VENV)/.ready-default $(VENV)/.ready-cpu:
	@$(INSTALL) setup

$(DEVELOP):
	@$(INSTALL) $@
else
$(VENV)/.ready-default:
	$(call new_environment)
	$(PIP) install --no-compile --require-hashes --requirement requirements.lock
	$(call install_kit)

$(VENV)/.ready-cpu:
	$(call new_environment)
	$(PIP) install $(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend cpu --requirement requirements-cpu.lock
	$(call install_kit)

$(DEVELOP):
	$(PIP) install --no-deps --require-hashes --requirement requirements-dev.lock
	touch $@
endif

define new_environment
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "retina-kit needs Python 3.11 or later")'
test -e $@ || $(PYTHON) -m venv --clear $(VENV)
endef

define install_kit
$(PIP) install --no-deps --no-build-isolation --editable .
touch $@
endef

reproduce: setup
	$(BIN)/retina-kit run

test: $(DEVELOP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --doctest-modules retina_kit tests

lab: setup
	$(BIN)/retina-kit lab

lint: $(DEVELOP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-strip-extras --no-emit-index-url --no-annotate --no-header --quiet
lock:
	$(LOCK) --extra checkout --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file .lock-dev
	$(PYTHON) .ci/derive_locks.py requirements.lock .lock-dev
	rm .lock-dev

clean:
	rm -rf $(VENV) outputs
