# Two commands for a newcomer: `make demo` and `make test`. Everything lands in .venv and build/.
#
#   make demo                            simulated breast DCE exam as DICOM -> report
#   make demo EXAM=folder VOI=folder     the same on a real exam (LESION=mask instead of VOI, ARGS="..." for more options)
#   make test | lint | bench | install | clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OUT    ?= build/demo
SEED   ?= 1

.PHONY: demo test lint bench install clean check-machine
.DEFAULT_GOAL := demo

check-machine:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
	  { echo "IITH needs Python 3.10 or later as '$(PYTHON)'; install it, or say which with make PYTHON=python3.x" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "IITH needs Python's venv module (on Debian and Ubuntu: the package python3-venv)" >&2; exit 1; }

install: $(STAMP)

# PyRadiomics is only the reference that tests compare the native engine with. Release 3.0.1 has no wheels, declares its
# build needs wrongly (so they go in first, without build isolation), needs a C compiler and fails on Python 3.12 and later.
$(STAMP): pyproject.toml constraints.txt | check-machine
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -U -c constraints.txt pip setuptools wheel versioneer numpy
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation pyradiomics==3.0.1 \
	  2> $(VENV)/pyradiomics.log || echo "PyRadiomics could not be built here (see $(VENV)/pyradiomics.log); IITH does not need it, and the tests that compare with it are skipped" >&2
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[test]'
	@touch $@

demo: $(STAMP)
ifdef EXAM
	@$(BIN)/iith analyze $(EXAM) --out $(OUT)/result --overwrite $(if $(VOI),--voi $(VOI)) $(if $(LESION),--lesion $(LESION)) $(ARGS)
else
	@rm -rf $(OUT)/exam
	@$(BIN)/iith simulate --out $(OUT)/exam --seed $(SEED)
	@$(BIN)/iith analyze $(OUT)/exam/dicom --voi $(OUT)/exam/voi.nrrd --hr 1 --her2 0 --age 50 --out $(OUT)/result --overwrite $(ARGS)
endif
	@echo "$(abspath $(OUT))/result/report.html"

test: $(STAMP)
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(STAMP)
	@mkdir -p build
	$(BIN)/python Testing/bench/run_bench.py --out build/bench.json $(ARGS)

clean:
	rm -rf $(VENV) build
