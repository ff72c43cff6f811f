# Two commands do everything on a fresh machine: `make demo` and `make test`. While you work: `make unit` and `make lint`.
PYTHON ?= python3
BIN := .venv/bin
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
# One process a core, each on one thread, and workflows in them with more, which must not spin while they wait for one
# another; a file's tests stay together, for they share what they prepare.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE pytest --numprocesses logical --maxprocesses 8 --dist loadfile

.PHONY: demo test unit lint format clean

demo: .venv/installed
	$(RUN) snakemake --cores all
	@$(RUN) python -m workflow_scripts.show_results results/demo

test: .venv/installed-dev
	$(RUN) $(PYTEST)

unit: .venv/installed-dev # without what takes long
	$(RUN) $(PYTEST) -m "not slow" tests/unit

lint: .venv/installed-dev
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check Snakefile rules
	$(RUN) snakemake --lint
	$(RUN) mypy

format: .venv/installed-dev
	$(RUN) ruff check --fix .
	$(RUN) ruff format .
	$(RUN) snakefmt Snakefile rules

.venv/installed: envs/requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable . # the command slpd
	touch $@

.venv/installed-dev: .venv/installed envs/requirements-dev.txt
	$(BIN)/python -m pip install --quiet --requirement envs/requirements-dev.txt
	touch $@

clean: # results and synthetic slides; the environment stays
	rm -rf results resources/demo .snakemake
