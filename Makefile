# The whole job, the tests, the checks. Each target is what the README shows as commands.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Waiting threads sleep instead of spinning: beside another busy program, training fell from 9 to 2
# rows per second with spinning.
export OMP_WAIT_POLICY ?= PASSIVE
# Packages are compiled as they are imported, and kept so: to compile all of them at once takes as
# long as to install them.
unexport PYTHONDONTWRITEBYTECODE
PIP_INSTALL := .venv/bin/pip install --quiet --no-compile

.PHONY: repro show test lint lock

repro: .venv/installed
	python -m stages.io.recovery
	TABLE_FOLLOWS=1 dvc repro
	@python -m stages.measures

show: .venv/installed
	@python -m stages.measures

test: .venv/installed-dev
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/installed-dev
	ruff check . && ruff format --check . && mypy

# Newer versions: change a line of an .in file, or add uv's --upgrade.
lock: .venv/installed-dev
	uv pip compile --quiet requirements.in --output-file requirements.txt
	uv pip compile --quiet requirements-dev.in --constraints requirements.txt --output-file requirements-dev.txt

# Without dependencies: the lock has them all, but for torch, which then finds all but itself.
.venv/installed: requirements.txt requirements-torch.txt
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) --no-deps -r requirements.txt
	$(PIP_INSTALL) -r requirements-torch.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(PIP_INSTALL) --no-deps -r requirements-dev.txt
	touch $@
