# The course in one word each. Without make (Windows, conda): see "Without make" in README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread a process, for the tests run in parallel by process.
PARALLEL := -n auto --maxprocesses 4

.PHONY: lab test test-unit test-notebooks test-browser chromium course notebooks lint clean

lab: $(VENV)/lab.done  ## open the lessons in JupyterLab; options for it in ARGS, as in make lab ARGS=--no-browser
	$(BIN)/sr-course lab $(ARGS)

test: test-unit test-notebooks  ## unit tests, then every lesson against its stored outputs

test-unit test-notebooks test-browser: export OMP_NUM_THREADS := 1

test-unit: $(VENV)/test.done
	$(BIN)/python -m pytest tests $(PARALLEL) -m "not browser"

test-notebooks: $(VENV)/test.done
	$(BIN)/python -m pytest --nbval notebooks $(PARALLEL) --dist loadfile --nbval-cell-timeout 120

test-browser: $(VENV)/browser.done chromium  ## every widget, and every lesson with its widgets, in a real browser
	$(BIN)/python -m pytest tests/browser -m browser -rs

# Debian's, where it is missing and the user may; without one the tests are skipped, and say what to install.
chromium:
	@[ -n "$$CHROMIUM" ] || command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		[ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
		{ apt-get update -q && apt-get install -y -q --no-install-recommends chromium; } || true

course: $(VENV)/lab.done  ## run every lesson, write one offline page each and a table of minutes to build/course
	$(BIN)/python tools/notebooks.py course

notebooks: $(VENV)/lab.done  ## run the sources of the lessons and write the notebooks from them
	$(BIN)/python tools/notebooks.py build $(LESSONS)

lint: $(VENV)/dev.done  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove the environment and everything that can be made again; not your data sets and runs
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of packages: installed again only when pyproject.toml has changed.
$(VENV)/%.done: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[$*]'
	touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'The course needs Python 3.11 or newer; name one: make PYTHON=python3.12'; exit 1; }
	$(PYTHON) -m venv $(VENV)
