# make lab    sets everything up and opens JupyterLab on the first notebook
# make test   sets everything up and checks everything, as CI does
# make demo   predict, run for real, search: the main job without a browser
# make models trains the shipped models again      make bench  prints every benchmark's figures
# make lint   style, types and import rules        make clean  removes what make made

VENV := .venv
BIN := $(VENV)/bin
# What was installed is known by the content of these two files: a second run has nothing to do.
READY := $(VENV)/.ready-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
LAB_ARGS ?=
PYTEST_ARGS ?= -n 2
BENCH_JSON ?= results/bench

.DEFAULT_GOAL := help
.PHONY: help setup lab test demo models bench lint style types imports unit netem notebooks browser clean

# $(call timed,NAME,COMMAND): runs it, says how long it took, and notes that in $TIMES where CI asks.
timed = @start=$$(date +%s); echo "== $(1)"; { $(2); } || exit $$?; \
	line="$$(printf '%-10s %5d s' '$(1)' $$(($$(date +%s) - start)))"; echo "== $$line"; \
	if [ -n "$$TIMES" ]; then echo "$$line" >> "$$TIMES"; fi

help:
	@sed -n '1,6s/^# //p' Makefile

setup: $(READY)

$(READY):
	@sh .ci/venv $(VENV)
	$(call timed,setup,$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' \
		&& $(BIN)/python -m ipykernel install --sys-prefix --name workbench --display-name 'Python (workbench)' \
		&& mkdir -p $(VENV)/etc/jupyter/labconfig \
		&& cp notebooks/lab_settings.json $(VENV)/etc/jupyter/labconfig/default_setting_overrides.json)
	@rm -f $(VENV)/.ready-* && touch $@

lab: $(READY)
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS) notebooks/00_start_here.ipynb

test: lint unit netem notebooks browser

demo: $(READY)
	$(BIN)/workbench demo --out results/demo

models: $(READY)
	$(BIN)/python -m workbench.models.recipe

bench: $(READY)
	@mkdir -p $(BENCH_JSON)
	@for file in benchmarks/*.py; do \
		name=$$(basename $$file .py); echo "== $$name"; \
		$(BIN)/python $$file --json $(BENCH_JSON)/$$name.json || exit $$?; \
	done

lint: style types imports

style: $(READY)
	$(call timed,style,$(BIN)/ruff check .)

types: $(READY)
	$(call timed,types,$(BIN)/mypy)

imports: $(READY)
	$(call timed,imports,$(BIN)/lint-imports --no-logo)

unit: $(READY)
	$(call timed,unit,$(BIN)/python -m pytest $(PYTEST_ARGS) -m 'not browser and not netem and not uml' --ignore tests/notebooks tests)

# No xdist: timing. Where this kernel has no netem, tests/kernel.py boots user-mode Linux, twice side by side.
netem: $(READY)
	$(call timed,netem,$(BIN)/python -m pytest -m 'netem or uml' tests)

notebooks: $(READY)
	$(call timed,notebooks,$(BIN)/python -m pytest tests/notebooks)

browser: $(READY)
	$(call timed,browser,$(BIN)/python -m pytest -m browser tests)

clean:
	rm -rf $(VENV) results build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
