# `make demo` shows the main job; `make test` proves it; `make check` is what CI asks of a change.
# Everything is installed into .venv, from hash-locked requirement files.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PIP    := $(BIN)/pip --disable-pip-version-check --quiet
TOOLS  := .tools/helm .tools/promtool .tools/compose
STUBS  := clients/python/privyseal/v1
PROTOS := $(wildcard protos/privyseal/v1/*.proto)
JOBS   ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt lint type gen gen-check docs-check conformance clients chaos bench helm sbom wheel lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements/dev.txt requirements/oracle.txt pyproject.toml clients/python/pyproject.toml
	@echo "setting up $(VENV): about a minute, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --require-hashes --no-deps -r requirements/oracle.txt
	@$(PIP) install --no-deps --no-build-isolation -e clients/python -e .
	@touch $@

demo: $(STAMP) ## sign, log in and create a key at venue servers that verify, in under a minute
	@$(BIN)/privyseal demo

test: $(STAMP) ## run all tests, with coverage
	@$(BIN)/coverage erase
	@$(BIN)/pytest -n $(JOBS) --cov --cov-report=term --ignore=tests/helm $(PYTEST_ARGS)

check: lint type gen-check docs-check ## format, lint, types, generated code, docs' examples

fmt: $(STAMP) ## format the code and the protos
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix --quiet . && $(BIN)/buf format -w protos

lint: $(STAMP)
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/buf lint protos && $(BIN)/buf format --diff --exit-code protos
	@git ls-files -z | xargs -0 $(BIN)/codespell

type: $(STAMP)
	@$(BIN)/mypy service clients/python tests benchmarks helm

gen: $(STAMP) ## generate the Python stubs from protos/
	@rm -rf $(STUBS) && mkdir -p $(STUBS)
	@$(BIN)/python -m grpc_tools.protoc -I protos \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --python_out=clients/python --grpc_python_out=clients/python \
	  --mypy_out=quiet:clients/python --mypy_grpc_out=quiet:clients/python $(PROTOS)
	@touch $(STUBS)/__init__.py

gen-check: gen
	@git diff --exit-code --stat -- $(STUBS) || \
	  { echo "the stubs are not those of protos/: run 'make gen' and commit them"; exit 1; }

docs-check: $(STAMP)
	@$(BIN)/pytest -q --no-cov -p no:randomly tests/docs

conformance: $(STAMP) ## run all clients through the same cases (LANGUAGES="go rust" for some)
	@$(BIN)/python tests/conformance/run.py $(LANGUAGES)

clients: $(STAMP) ## lint and test the client of each language
	@for language in $(or $(LANGUAGES),go rust java typescript python); do \
	  echo "clients/$$language" && \
	  $(MAKE) --no-print-directory -C clients/$$language check test || exit 1; \
	done

chaos: $(STAMP) ## break real Vaults, Valkeys and servers; write docs/*-down.md from it
	@$(BIN)/python tests/chaos_table.py
	@$(BIN)/python tests/chaos_state_table.py
	@$(BIN)/python tests/hold_latency.py
	@PRIVYSEAL_OUTAGE_S=60 PRIVYSEAL_KEYS_IN_USE=10000 $(BIN)/pytest -q -s --no-cov \
	  tests/chaos/test_outage_under_load.py tests/chaos/test_ten_thousand_keys.py

bench: $(STAMP) ## CPU per Sign beside an empty RPC and OpenBao transit, as ratios
	@$(BIN)/python benchmarks/bench.py

helm: $(STAMP) .venv-helm/.installed .venv-checkov/.installed tools ## check the chart, the image and their documents, with real Helms
	@$(BIN)/python helm/generate.py --check
	@$(BIN)/pytest -n $(JOBS) --no-cov tests/helm $(PYTEST_ARGS)

wheel: $(STAMP) ## build the wheels of daemon and client into dist/, the same bytes each time
	@mkdir -p dist && rm -f dist/*.whl
	@for project in . clients/python; do \
	  (cd $$project && SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
	    $(CURDIR)/$(BIN)/hatchling build --target wheel --directory $(CURDIR)/dist) || exit 1; done
	@sha256sum dist/*.whl

sbom: $(STAMP) .venv-sbom/.installed ## write what the daemon is made of to dist/privyseal.cdx.json (CycloneDX)
	@mkdir -p dist
	@.venv-sbom/bin/python -W ignore::UserWarning -m cyclonedx_py requirements --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --output-format JSON --output-file dist/privyseal.cdx.json \
	  requirements/runtime.txt

# What is big, or clashes with the rest, has an environment of its own.
.venv-%/.installed: requirements/%.txt
	@echo "setting up .venv-$*: half a minute, once"
	@test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

# Helm 3, Prometheus' promtool and the reference implementation of Compose, from sources locked in go.sum.
.PHONY: tools
ifeq ($(shell command -v go),)
tools:
	@echo "no Go here: the tests with Helm 3, promtool and Compose are skipped"
else
tools: $(TOOLS)
endif

.tools/helm: PACKAGE := helm.sh/helm/v3/cmd/helm
.tools/promtool: PACKAGE := github.com/prometheus/prometheus/cmd/promtool
.tools/compose: PACKAGE := github.com/compose-spec/compose-go/v2/cmd
$(TOOLS): tests/helm/tools/go.mod tests/helm/tools/go.sum
	@echo "building $@: about a minute, once"
	@cd tests/helm/tools && go build -tags remove_all_sd -o $(CURDIR)/$@ $(PACKAGE)
	@touch $@

lock: ## pin the requirements anew, with hashes (needs uv on the PATH)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --quiet requirements/runtime.in -o requirements/runtime.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --quiet requirements/tracing.in -o requirements/tracing.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --quiet requirements/dev.in -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-deps --quiet requirements/oracle.in -o requirements/oracle.txt
	for name in helm checkov sbom; do uv pip compile --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url --quiet requirements/$$name.in \
	  -o requirements/$$name.txt; done

clean: ## remove what was built
	rm -rf $(VENV) .venv-* .tools dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
