# make demo: index the bundled sample and ask three questions.  make test: what to run after a change.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cat requirements/embedded.lock requirements/dev.txt requirements/docs.txt pyproject.toml 2>/dev/null | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# make test-faults: the long fault tests (docs/faults.md): more than an hour on two cores.
# make test-full [FULL_ENV=DIR]: the tests of the torch engines; make test-gpu: on a GPU (docs/engines.md).
.PHONY: demo docs eval test test-long test-cpu test-full test-gpu test-faults test-extras lint types links docker-check check install lock clean

install: $(STAMP)

$(STAMP):
	@sh requirements/make_venv.sh $(PYTHON) $(VENV)
	@echo "installing into $(VENV) (once, a minute or two)"
	@$(PIP) install --no-deps --require-hashes -r requirements/embedded.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-* && touch $@

demo: $(STAMP)
	@$(BIN)/vidrag --offline demo

# make eval EVAL_DATA=DIR: every table of the folders of videos with a questions.json in DIR; without it of the sample.
# What was done before is not done again.  EVAL_ARGS: switches of 'vidrag eval study'.  EVAL_OPEN: sets of open questions.
eval: $(STAMP)
	@$(BIN)/vidrag --offline eval study build/eval $(if $(EVAL_DATA),--data "$(EVAL_DATA)") $(EVAL_ARGS)
	$(if $(EVAL_OPEN),@$(BIN)/vidrag --offline eval open build/eval-open $(EVAL_OPEN))

# make lock: the hashes of every file of the packages pinned in requirements/*.txt, after a change of these.
lock: $(STAMP)
	@$(PIP) install uv
	@for name in embedded query build; do \
	  $(BIN)/uv pip compile --quiet --universal --no-deps --generate-hashes --no-annotate --no-header \
	    requirements/$$name.txt -o requirements/$$name.lock || exit 1; done

$(STAMP)-dev: $(STAMP)
	@$(PIP) install --no-deps -r requirements/dev.txt -r requirements/docs.txt
	@touch $@

# make docs: the documentation as a site in build/site; a warning is an error.
docs: $(STAMP)-dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "docs: open build/site/index.html"

lint: $(STAMP)-dev links
	@$(BIN)/ruff check .
	@cd build/types && $(abspath $(BIN))/lint-imports --no-cache --config $(CURDIR)/pyproject.toml

types: $(STAMP)-dev links
	@$(BIN)/mypy -p vidrag

# The packages as they are named when they are installed, for tools that read files.
links:
	@mkdir -p build/types/vidrag
	@for p in store ingest query jobs; do ln -sfn ../../../$$p build/types/vidrag/$$p; done
	@for f in __init__.py py.typed; do ln -sfn ../../../vidrag/$$f build/types/vidrag/$$f; done

# The images' files are linted; no container engine is needed.
docker-check: $(STAMP)-dev
	@$(BIN)/hadolint --config docker/hadolint.yaml docker/*.Dockerfile
	@$(BIN)/compose-lint check --quiet --strict-config --fail-on low --config docker/compose-lint.yaml docker/compose.yaml > /dev/null \
	  || { $(BIN)/compose-lint check --fail-on low --config docker/compose-lint.yaml docker/compose.yaml; exit 1; }

check: lint types docker-check

test: check
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile
	@echo "test: all passed"

# make test-long: tests of more than five seconds each: whole runs, kills, Ray, studies.  CI runs both.
test-long: $(STAMP)-dev
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "long and not slow and not full"
	@echo "test-long: all passed"

# make test-cpu: what is recognised, held against the truth, under the code that CTranslate2 has for each kind of CPU.
CPUS ?= GENERIC $(shell grep -qw avx2 /proc/cpuinfo 2>/dev/null && echo AVX2) \
  $(shell grep -qw avx512f /proc/cpuinfo 2>/dev/null && echo AVX512)

test-cpu: $(STAMP)-dev
	@for isa in $(CPUS); do echo "as on a CPU with $$isa:"; \
	  CT2_FORCE_CPU_ISA=$$isa $(BIN)/python -m pytest -q -n 2 --dist loadfile -m "recognises and not slow" || exit 1; done
	@echo "test-cpu: all passed"

FAULTS := tests/faults tests/test_object_faults.py tests/test_subtitles.py tests/test_media_bad.py tests/test_ray.py \
  tests/test_ray_trouble.py tests/test_pool.py tests/test_budget.py

test-faults: $(STAMP)-dev
	@$(BIN)/python -m pytest -q -rs -n 2 -m slow $(FAULTS)
	@echo "test-faults: all passed"

# In an environment of its own, laid over the one in FULL_ENV where it is given.
FULL := build/full
FULL_STAMP := $(FULL)/.made-$(shell { cat requirements/*.txt requirements/*.sh pyproject.toml; echo "$(FULL_ENV)"; } | cksum | cut -d' ' -f1)
FULL_TESTS := tests/conformance tests/test_full_engines.py tests/test_full_profile.py tests/test_bench_engines.py \
  tests/test_extras.py tests/test_gpu.py $(wildcard tests/test_full_*.py)

$(FULL_STAMP):
	@rm -rf $(FULL) && requirements/make_full.sh $(PYTHON) $(FULL) $(if $(FULL_ENV),"$(abspath $(FULL_ENV))")
	@touch $@

test-full: $(FULL_STAMP)
	@VIDRAG_TEST_DEVICE=cpu $(FULL)/bin/python -m pytest -q -rs -n 2 --dist loadfile -m "not slow" $(sort $(FULL_TESTS))
	@echo "test-full: all passed; the engines whose tests were not run are named above with the reason (SKIPPED)"

# make test-gpu [GPU_PYTHON=PYTHON]: checks on a GPU, minutes, without a network; in the environment of test-full, or in
# one with torch, transformers, open_clip, whisperx and what requirements/embedded.txt names.
GPU_PYTHON ?= $(FULL)/bin/python

test-gpu: $(if $(filter $(FULL)/bin/python,$(GPU_PYTHON)),$(FULL_STAMP))
	@$(GPU_PYTHON) -m pytest -q -rs -m full tests/test_gpu.py
	@echo "test-gpu: all passed; what was not run is named above with the reason (SKIPPED)"

# Asks pip to resolve every extra, for three Pythons: minutes, and a package index is needed.
test-extras: $(STAMP)-dev
	@$(BIN)/python -m pytest -q -rs -m slow tests/test_extras.py
	@echo "test-extras: all passed"

clean:
	rm -rf $(VENV) build demo-archive
