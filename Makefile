# Set-up, the embedded study, tests and checks. Needs Python >= 3.11 and make; everything else is in requirements.lock.

PYTHON ?= python3
BIN := .venv/bin
PATH := $(CURDIR)/$(BIN):$(PATH)
export PATH
SHELL := bash
CONFIG ?= config/demo.yaml

.PHONY: demo figures bench test lint format lock clean

demo: .venv/ready            ## the embedded study: results/demo/figures and results/demo/tables
	snakemake --cores all --configfile config/demo.yaml --quiet rules
	@echo "Figures are in results/demo/figures, tables in results/demo/tables."

figures: .venv/ready         ## all figures of the study of CONFIG anew, from its tables as they are; runs nothing else
	snakemake --cores all --configfile $(CONFIG) --quiet rules --forcerun figure --allowed-rules figure figures -- figures

bench: .venv/ready           ## what a user would write instead, side by side: minutes; MNIST=folder takes real images
	python -m benchmarks.tails
	python -m benchmarks.pruning $(if $(MNIST),--root $(MNIST))

test: .venv/ready            ## all tests; those that need what this machine lacks say why they are skipped
	pytest

lint: .venv/ready            ## style, types and workflow checks
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint

format: .venv/ready          ## put the code into its style
	ruff check --fix .
	ruff format .
	snakefmt Snakefile rules

# uv comes first, at the locked version, and installs the rest; both check the hashes of the lock.
.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "sgdtails needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r .venv/uv.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	touch $@

lock: .venv/ready            ## after an edit of requirements.in
	uv pip compile requirements.in --output-file requirements.lock --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --quiet --custom-compile-command "make lock"

clean:                       ## the environment and what Snakemake remembers; results stay
	rm -rf .venv .snakemake
