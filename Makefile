# `make` lists what there is to do. Every target works on a bare clone with Python 3.11 or newer and git:
# what it needs is installed into .venv first, once, and again when pyproject.toml has changed.

VENV     ?= .venv
TRAIN    ?= --data data/train_5classes.yaml --name cards5
NOTEBOOK ?= notebooks/00_start_here.ipynb
NAMES    ?=

PY     := $(VENV)/bin/python
# A stamp is written last, so an interrupted installation is taken up again by the next `make`.
COURSE := $(VENV)/.installed-course
DEV    := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help course train weights test lint format notebooks figures bench wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

course: $(COURSE) ## open the course in JupyterLab, at lesson 00
	@# The server's root is the repository, so that a lesson's ../img and ../data can be shown and browsed.
	PATH="$(abspath $(VENV))/bin:$$PATH" $(PY) -m jupyterlab $$([ "$$(id -u)" != 0 ] || echo --allow-root) \
		--ServerApp.root_dir="$(CURDIR)" --LabApp.default_url="/lab/tree/$(NOTEBOOK)"

train: $(COURSE) ## train a detector on the sample photos (other settings: make train TRAIN="--data ...")
	$(VENV)/bin/yolo-edu train $(TRAIN)

weights: $(COURSE) ## train the shipped model anew and write its card
	$(VENV)/bin/yolo-edu train --data data/train_5classes.yaml --model yolov5n --name cards_n
	$(PY) benchmarks/ship_weights.py "$$(ls -dt runs/train/cards_n* | head -n 1)" cards_n

test: lint ## lint, type check, and all tests
	$(PY) -m pytest

lint: $(DEV) ## ruff and mypy, changing nothing
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy yolo_edu

format: $(DEV) ## let ruff mend what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

notebooks: $(DEV) ## execute the lessons (some of them: make notebooks NAMES="00_start_here")
	$(PY) notebooks/build.py $(NAMES)
	@# The ledger reads the outputs, so it is written behind them.
	$(PY) notebooks/ledger.py
	$(PY) notebooks/build.py claims

figures: $(COURSE) ## draw every figure in img/ again
	$(PY) -m yolo_edu.course.figures

bench: $(DEV) ## run every measurement in benchmarks/
	@for script in $(filter-out benchmarks/ship_weights.py,$(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(PY) "$$script" || exit 1; \
	done

wheel: ## build the wheel into dist/
	$(ensure-venv)
	$(PY) -m pip wheel --no-deps --wheel-dir dist .

clean: ## remove caches and builds (runs/ and .venv stay)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find notebooks tests benchmarks yolo_edu -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) \
		-prune -exec rm -rf {} +

$(COURSE): pyproject.toml
	$(ensure-venv)
	$(PY) -m pip install --editable ".[course]"
	@touch $(COURSE)

$(DEV): pyproject.toml
	$(ensure-venv)
	$(PY) -m pip install --editable ".[course,dev]"
	@touch $(COURSE) $(DEV)

# Finds a Python, makes the environment, and says in plain words what is missing. An environment that works is
# kept; one left half-made is made afresh, but never in a folder that is something else.
define ensure-venv
@set -e; \
usable() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
if usable $(PY); then \
	$(PY) -c 'import pip' 2>/dev/null || $(PY) -m ensurepip; \
	exit 0; \
fi; \
if [ -e "$(VENV)" ] && [ ! -e "$(VENV)/pyvenv.cfg" ]; then \
	echo "$(VENV) exists and is not a virtual environment: remove it, or choose another with VENV=..." >&2; \
	exit 1; \
fi; \
python=; \
for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if usable "$$candidate"; then python=$$candidate; break; fi; \
done; \
if [ -z "$$python" ]; then \
	echo "No Python 3.11 or newer found: install one (python.org, or your package manager)," >&2; \
	echo "or name it: make PYTHON=/path/to/python3 ..." >&2; \
	exit 1; \
fi; \
if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	echo "$$python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; \
	exit 1; \
fi; \
echo "making $(VENV) with $$("$$python" --version)"; \
"$$python" -m venv --clear "$(VENV)"
endef
