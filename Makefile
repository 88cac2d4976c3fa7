# Set-up, the embedded study, tests and checks. Needs Python >= 3.11 and make; everything else is in requirements.lock.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PATH := $(CURDIR)/$(BIN):$(PATH)
export PATH
export NO_MKDOCS_2_WARNING := 1
SHELL := bash
# A study's config: the demo's unless you give another, as in `make plan CONFIG=mine.yaml`.
CONFIG ?= config/demo.yaml
# Commands take it from the environment: a path may have spaces and quotes.
export CONFIG
THERE = @test -f "$$CONFIG" || { echo "sgdtails: there is no file $$CONFIG; give the path of a study's config as CONFIG=..."; exit 1; }
FUZZ ?= config runs claims npz npy tar headers image arrays checkpoint
FUZZ_SECONDS ?= 120
APPTAINER ?= apptainer
# Tests of one file, or of the finished study, stay with one worker: tests/conftest.py. TESTS are more arguments.
WORKERS ?= 2
PYTEST = pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(TESTS) $(if $(COVERAGE),--cov=sgdtails --cov-report=term)

.PHONY: help docs docs-site fuzz demo plan gpu-check gpu-study figures report status bench test test-all lint format lock clean image test-container test-cluster verify soak

demo: .venv/ready            ## the embedded study: results/demo/figures and results/demo/tables
	@echo "This takes some minutes; make status, in another terminal, shows the progress."
	snakemake --cores all --configfile config/demo.yaml
	@echo "Figures are in results/demo/figures, tables in results/demo/tables."

plan: .venv/ready            ## what the study of CONFIG would run: jobs and networks by stage, time, room on disk; runs nothing
	$(THERE)
	@snakemake --cores all --configfile "$$CONFIG" --dry-run --nolock

fig%: .venv/ready            ## one figure of the study of CONFIG, and all that it needs: make fig03 CONFIG=mine.yaml, make figure_profiles
	$(THERE)
	snakemake --cores all --configfile "$$CONFIG" -- $@

figures: .venv/ready         ## redraw the figures of the study of CONFIG whose tables are there; runs nothing else
	$(THERE)
	snakemake --cores all --configfile "$$CONFIG" --forcerun figure --allowed-rules figure figures -- figures

# Without the lock, since it writes the page alone: another start may be under way.
report: .venv/ready          ## the study of CONFIG as one page, finished, under way or not: results/<study>/report.html
	$(THERE)
	snakemake --cores 1 --configfile "$$CONFIG" --allowed-rules report --nolock -- report

status: .venv/ready          ## the progress of the study of CONFIG, from its files: runs, time left
	@python -m sgdtails.report.status --configfile "$$CONFIG"

bench: .venv/ready           ## times this library and plain code side by side; MNIST=folder takes real images, BEFORE=revision compares with it
	python -m benchmarks.training $(if $(MNIST),--root $(MNIST))
	python -m benchmarks.tails
	python -m benchmarks.pruning $(if $(MNIST),--root $(MNIST))
	python -m benchmarks.checkpoints $(if $(MNIST),--root $(MNIST))
	python -m benchmarks.wide
	$(if $(BEFORE),python -m benchmarks.demo_cost $(BEFORE))
	$(if $(BEFORE),$(if $(MNIST),python -m benchmarks.analysis_cost $(BEFORE) --root $(MNIST)))

# Both need no Snakemake, and run in any Python that has torch, numpy, SciPy, pyarrow, safetensors, scikit-learn and PyYAML.
gpu-check:                   ## tests training on a GPU and its speed: three minutes; skipped without a GPU
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.gpu_check

gpu-study:                   ## as much of the study of GPU_CONFIG as fits into SECONDS, on one GPU; MNIST=folder of real images
	@test -n "$(SECONDS)" || { echo "gpu-study: say how long it may take: make gpu-study SECONDS=3600"; exit 1; }
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.gpu_study "$(SECONDS)" $(if $(MNIST),--root "$(MNIST)") \
	  $(if $(GPU_CONFIG),--configfile "$(GPU_CONFIG)")

test: $(VENV)/ready          ## the tests that every change must pass: at most 8 minutes on two slow cores
	$(PYTEST) -m "not slow"

test-all: .venv/ready        ## all tests: SLURM, faults, the demo, examples too; skips are listed with their reasons
	$(PYTEST) -rs

verify: .venv/ready          ## compare every result, to its last bit, with its checksum
	python -m sgdtails.io.integrity results

soak: .venv/ready            ## an hour of kills, damaged files and a user's files; SOAK="--kills 30 --damages 30 --rounds 30" for less
	python -m tests.faults.harness $(SOAK)

test-cluster: .venv/ready    ## the study through a real SLURM of one node, as part of `make test-all`; DEMO=1: the demo as well
	$(if $(DEMO),SGDTAILS_TEST_DEMO=1 )pytest -rs tests/cluster

test-container: .venv/ready  ## builds an image and runs the demo in it: up to an hour
	SGDTAILS_TEST_CONTAINER=1 pytest tests/container

# Atheris is no part of the lock: it has wheels for few systems, and nothing else needs it.
fuzz: .venv/ready            ## looks for inputs on which readers of files crash: FUZZ_SECONDS for each of FUZZ
	@VIRTUAL_ENV=.venv uv pip install --quiet --target .venv/fuzz atheris || { echo "skipped: atheris cannot be installed here"; exit 0; }; \
	set -e; for target in $(FUZZ); do echo "$$target: $(FUZZ_SECONDS) seconds"; \
	  PYTHONPATH=.venv/fuzz OMP_NUM_THREADS=1 python -m tests.fuzz.harness $$target --seconds $(FUZZ_SECONDS) 2> .venv/fuzz/$$target.log \
	  || { cat .venv/fuzz/$$target.log; exit 1; }; grep -E "^Done|peak_rss" .venv/fuzz/$$target.log; done

docs: .venv/ready            ## docs/tables.md and docs/config.md, from schemas and the commented config
	python -m sgdtails.report.reference

# Without --quiet, which hides the warnings that --strict counts.
docs-site: .venv/ready       ## the pages of docs/ as a site, which opens without a network: site/index.html
	mkdocs build --strict

lint: .venv/ready            ## style, types, workflow and links of pages
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint
	mkdocs build --strict

format: .venv/ready          ## put the code into its style
	ruff check --fix .
	ruff format .
	snakefmt Snakefile rules

# uv comes first, at the locked version, and installs the rest; both check the hashes of the lock.
$(VENV)/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "sgdtails needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Packages are installed into $(VENV): some minutes."
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/uv.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@# Its Python finds this repository from any folder.
	$(BIN)/python -c 'import pathlib, sys, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "sgdtails.pth").write_text(sys.argv[1] + "\n")' "$(CURDIR)"
	touch $@

lock: .venv/ready            ## write requirements.lock anew, after an edit of requirements.in
	uv pip compile requirements.in --output-file requirements.lock --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --quiet --custom-compile-command "make lock"
	@sed -i '/- pip:/q' envs/sgdtails.yaml  # then the packages before Snakemake, and their dependencies
	sed '/^snakemake/,$$d' requirements.in | uv pip compile - --constraint requirements.lock --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 --no-annotate --no-header --no-emit-index-url --quiet \
	  | sed 's/^/      - /' >> envs/sgdtails.yaml

# Named by what it is built from, as config key container expects.
image:                       ## the Apptainer image for --sdm apptainer; IMAGE_ARGS are for `apptainer build`
	@set -e; digest=$$($(PYTHON) -m sgdtails.config.containers); image=containers/sgdtails-$$digest.sif; \
	if [ -e $$image ]; then echo "$$image is there."; exit; fi; set -x; \
	$(APPTAINER) build --force $(IMAGE_ARGS) $$image.part containers/sgdtails.def; mv $$image.part $$image

help:                        ## this list
	@sed -nE 's/^([a-z%-]+):.*## (.*)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F '\t' '{printf "make %-15s %s\n", $$1, $$2}'

clean:                       ## removes the environment and Snakemake's records; results stay
	rm -rf .venv .snakemake
