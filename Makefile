# Everything is installed into .venv in this checkout, with the versions of constraints.txt.
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13,$(shell command -v python$(v))) python3)
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check setup browser bench-detection bench-encoders bench-clusters bench-overhead clean

demo: $(READY)  ## simulate a week of traffic, run the flow, show what it found beside the truth
	rm -rf demo
	$(BIN)/hydrascope simulate demo/log
	$(BIN)/hydrascope detect demo/log --output demo/runs
	$(BIN)/hydrascope evaluate demo/runs --truth demo/log/truth/truth.parquet

test: $(READY) browser  ## every test, a file at a time on each core, on four at most
	$(BIN)/pytest -q --numprocesses auto --maxprocesses 4 --dist loadscope

check: $(READY)  ## lint, format, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_imports.py

bench-detection: $(READY)  ## what is found, on simulated logs
	$(BIN)/python -m benchmarks.detection

bench-encoders: $(READY)  ## throughput and agreement of encoders
	$(BIN)/python -m benchmarks.encoders

bench-clusters: $(READY) .venv/.ready-bench  ## neighbours and clusters beside the alternatives
	$(BIN)/python -m benchmarks.clusters

bench-overhead: $(READY)  ## what Prefect costs in seconds and memory, beside --plain
	$(BIN)/python -m benchmarks.overhead

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	$(BIN)/python -m pip install -q -c constraints.txt --group dev -e .
	touch $@

.venv/.ready-bench: $(READY)
	$(BIN)/python -m pip install -q -c constraints.txt --group bench
	touch $@

browser:  # the tests of the report and of the Prefect UI use Debian's chromium; without it they are skipped
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v chromedriver >/dev/null; then \
	    (apt-get update -qq && apt-get install -y -qq chromium chromium-driver) >/dev/null 2>&1 \
	    || echo "chromium could not be installed: tests in a browser are skipped"; fi

clean:
	rm -rf .venv demo bench-out build dist *.egg-info
