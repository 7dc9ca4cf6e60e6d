# Everything runs in .venv, made from the pinned requirements. The checkout may have spaces in its name.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PEERS := .venv-peers/.installed
PEERS_COINCURVE := .venv-peers-coincurve/.installed
STRANGERS := $(patsubst tests/strangers/requirements/%.txt,.venv-strangers/%/.installed,$(wildcard tests/strangers/requirements/*.txt))
NODE_PEERS := tests/interop/node/node_modules/.package-lock.json
PLATFORMS := .venv-platforms/.installed
ANVIL := contracts/node_modules/.package-lock.json
VYPER := .venv-chain/.installed
TOKEN := contracts/build/dollar.bin

# Each file by its hash; nothing that the file does not name; no source, whose build would fetch what nobody pinned.
INSTALL := -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all:
LOCK := $(BIN)/python -m uv pip compile --quiet --no-header --universal --generate-hashes

.PHONY: help install demo demo-chain dev vendor test sim crashes fuzz-api test-wire interop strangers test-platforms bench peers-lose-money test-chain lint types unit unit-newest size build-PurserFunction picture api-docs audit lock lock-images clean

help:
	@echo "make demo     a goal becomes a finished GPU job, paid over x402, on this machine"
	@echo "make demo-chain  the same, settled on a real EVM chain of its own (needs node 20)"
	@echo "make peers-lose-money  who pays twice when an answer is lost or a process dies"
	@echo "make test     lint, types and tests: all that CI runs"
	@echo "make sim      10,000 random schedules with crashes, delays and bad vendors; SEEDS=1000000 for a night"
	@echo "make crashes  a run killed at every pair of its effects, and more; takes minutes"
	@echo "make fuzz-api  10,000 random requests against the API's own description; CASES=100000 for more"
	@echo "make test-wire  the tests that want a MongoDB server, on one that it starts (mongod, or Java 17 and Maven)"
	@echo "make dev      the API on port 3000 and the mock vendors on 4001, reloading on change"
	@echo "make interop  buyer and seller against the official x402 SDKs, Python and TypeScript (needs node 20)"
	@echo "make strangers  suites that nobody of the project wrote, held against tests/strangers/kept.toml (needs node 20)"
	@echo "make test-platforms  the function in Vercel's and Lambda's own Python runtimes (needs Python 3.12)"
	@echo "make bench    x402 beside the official Python SDK, and what ticks, looks and starts cost; QUICK=1 for seconds"
	@echo "make test-chain  the tests on a real EVM chain (needs node 20)"
	@echo "make vendor   the mock vendors alone, on port 4001"
	@echo "make size     how large the deployed function is, and what of it is heaviest"
	@echo "make api-docs  docs/api.md from the code"
	@echo "make audit    known holes in the requirements, where pip-audit's service can be reached"
	@echo "make lock     pin requirements.txt and its sisters by version and hash"
	@echo "make lock-images  name images by the digests that their tags have now (needs Docker and a registry)"
	@echo "make clean    remove what these make"

install: $(STAMP)

$(STAMP): requirements-dev.txt
	@echo "installing the pinned requirements into .venv (once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Purser needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@test ! -L .venv || { echo ".venv is a link: what it leads to is not emptied for this checkout; remove the link" >&2; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python $(INSTALL) -r requirements-dev.txt
	@touch $(STAMP)

demo: $(STAMP)
	@./purser demo

demo-chain: $(STAMP) $(ANVIL) $(TOKEN)
	@$(BIN)/python -m scripts.demo.chain

dev: $(STAMP)
	@./purser dev

vendor: $(STAMP)
	@$(BIN)/python -m gpu_vendor_mock

test: lint types unit

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(STAMP)
	$(BIN)/python -m mypy

# One schedule, step by step: make sim SEEDS=1 FROM=12345 TRACE=--trace
SEEDS ?= 10000
FROM ?= 0
sim: $(STAMP)
	$(BIN)/python -m tests.sim --seeds $(SEEDS) --from $(FROM) $(TRACE)

# What the tests do within a purchase, done anywhere in a run: every death, failure, late arrival and pair of deaths.
crashes: $(STAMP)
	$(BIN)/python -m tests.sim.crash_everywhere

# The API against its own description: random requests by schemathesis, all its checks; CASES=100000 for a night. Then
# schemathesis as a program against a running API, which says what it leaves out and warns of.
CASES ?= 10000
EXAMPLES ?= 50
fuzz-api: $(STAMP)
	$(BIN)/python -m tests.fuzz --cases $(CASES)
	$(BIN)/python -m tests.fuzz.program --examples $(EXAMPLES)

# PURSER_WIRE=required: no server, or any test skipped, is a failure. PURSER_WIRE_SEED: another kill test.
test-wire: $(STAMP)
	$(BIN)/python -m tests.wire

# What attacks the whole runs untraced: tracing its branches would double its time.
unit: $(STAMP)
	$(BIN)/python -m pytest -n 2 --ignore=tests/sim --ignore=tests/hostile --cov --cov-report=term
	@$(BIN)/python -m coverage json -q -o - | $(BIN)/python .ci/branch_floor.py
	$(BIN)/python -m pytest -n 2 tests/sim tests/hostile

# The tests of the packages on another Python, in an environment of its own: make unit-newest PYTHON_NEWEST=python3.13
# Those of the rest, and what attacks the whole, take minutes: once is enough.
unit-newest:
	"$(PYTHON_NEWEST)" -m venv --clear .venv-newest
	.venv-newest/bin/python $(INSTALL) -r requirements-dev.txt
	.venv-newest/bin/python -m pytest -n 2 tests/net tests/x402 tests/vendors tests/agent tests/api

# The official x402 SDKs, pinned, in environments of their own; each peer of a test is a process of its own.
interop: $(STAMP) $(PEERS) $(NODE_PEERS)
	PURSER_INTEROP=required $(BIN)/python -m pytest tests/interop

# Suites of strangers, each pinned with hashes in an environment of its own; the official SDK is that of interop. In CI it
# is in interop's and test-chain's lane, with whom it shares SDK and anvil: two lanes would install them twice at once.
# One of them: make strangers SUITES="conformance"
strangers: $(STAMP) $(PEERS) $(STRANGERS) $(ANVIL) $(TOKEN)
	$(BIN)/python -m tests.strangers $(SUITES)

.venv-strangers/%/.installed: tests/strangers/requirements/%.txt
	@echo "installing $* into .venv-strangers/$* (once) ..."
	$(PYTHON) -m venv --clear .venv-strangers/$*
	.venv-strangers/$*/bin/python $(INSTALL) -r $<
	@touch $@

# The function in the runtimes that Vercel and AWS put around it, on a MongoDB server as test-wire has it.
PYTHON_PLATFORMS ?= python3.12
test-platforms: $(STAMP) $(PLATFORMS)
	PURSER_WIRE=required $(BIN)/python -m tests.wire tests/platforms

$(PLATFORMS): tests/platforms/requirements.txt
	@echo "installing the platforms' Python runtimes into .venv-platforms (once) ..."
	"$(PYTHON_PLATFORMS)" -m venv --clear .venv-platforms
	.venv-platforms/bin/python $(INSTALL) -r tests/platforms/requirements.txt
	@touch $(PLATFORMS)

# Needs an idle machine for its figures to mean anything, and a MongoDB server as test-wire does. QUICK=1: whether it
# works, in seconds.
bench: $(STAMP) $(PEERS) $(PEERS_COINCURVE)
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick)
	@$(BIN)/python -m tests.bench.service $(if $(QUICK),--quick)

# Two stories of a lost payment, with the official client and with Purser: docs/reliability.md.
peers-lose-money: $(STAMP) $(PEERS)
	@$(BIN)/python -m tests.peers.stories

$(PEERS): tests/peers/requirements.txt
	@echo "installing the official Python SDK into .venv-peers (once) ..."
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/python $(INSTALL) -r tests/peers/requirements.txt
	@touch $(PEERS)

# eth-account takes coincurve where it finds it; the same one that Purser has.
$(PEERS_COINCURVE): tests/peers/requirements.txt requirements.txt
	@echo "installing the official Python SDK and coincurve into .venv-peers-coincurve (once) ..."
	$(PYTHON) -m venv --clear .venv-peers-coincurve
	.venv-peers-coincurve/bin/python $(INSTALL) -r tests/peers/requirements.txt
	awk '/^[^ ]/ { ours = /^coincurve==/ } ours' requirements.txt > .venv-peers-coincurve/coincurve.txt
	.venv-peers-coincurve/bin/python $(INSTALL) -r .venv-peers-coincurve/coincurve.txt
	@touch $(PEERS_COINCURVE)

$(NODE_PEERS): tests/interop/node/package-lock.json
	@echo "installing the official TypeScript SDK into tests/interop/node (once) ..."
	cd tests/interop/node && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
	@touch $(NODE_PEERS)

test-chain: $(STAMP) $(ANVIL) $(TOKEN)
	$(BIN)/python -m pytest tests/chain

$(ANVIL): contracts/package-lock.json
	@echo "installing anvil, an EVM chain, into contracts (once) ..."
	cd contracts && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
	@touch $(ANVIL)

$(VYPER): contracts/requirements.txt
	@echo "installing the Vyper compiler into .venv-chain (once) ..."
	$(PYTHON) -m venv --clear .venv-chain
	.venv-chain/bin/python $(INSTALL) -r contracts/requirements.txt
	@touch $(VYPER)

$(TOKEN): contracts/dollar.vy $(VYPER)
	@mkdir -p contracts/build
	.venv-chain/bin/vyper -f bytecode contracts/dollar.vy > $(TOKEN).part
	@mv $(TOKEN).part $(TOKEN)

# How large a function is that ships requirements.txt and our packages; fails where it is too large.
size: $(STAMP)
	@$(BIN)/python -m scripts.build.shipped_size

# What `sam build` calls for template.yaml: what the function ships, compiled once and for all (files there may not be
# written). By hand: make build-PurserFunction ARTIFACTS_DIR=/tmp/function. PYTHON_LAMBDA is the template's Runtime.
PYTHON_LAMBDA ?= python3.12
SHIPPED := api agent vendors x402 net scripts
build-PurserFunction:
	@test -n "$(ARTIFACTS_DIR)" || { echo "say where to: make build-PurserFunction ARTIFACTS_DIR=..." >&2; exit 2; }
	"$(PYTHON_LAMBDA)" $(INSTALL) --no-compile --python-version 3.12 --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --target "$(ARTIFACTS_DIR)" -r requirements.txt
	tar -cf - --exclude=__pycache__ $(SHIPPED) | tar -xf - -C "$(ARTIFACTS_DIR)"
	"$(PYTHON_LAMBDA)" -m compileall -q -f --invalidation-mode unchecked-hash "$(ARTIFACTS_DIR)"

# docs/api.md from the code.
api-docs: $(STAMP)
	$(BIN)/python -m scripts.build.api_docs

picture: $(STAMP)
	$(BIN)/python -m scripts.demo.picture docs/demo.svg
	$(BIN)/python -m scripts.build.rooms

lock: $(STAMP)
	$(LOCK) --python-version 3.11 requirements.in -o requirements.txt
	$(LOCK) --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	$(LOCK) --python-version 3.11 tests/peers/requirements.in -o tests/peers/requirements.txt
	$(LOCK) --python-version 3.11 requirements-chain.in -o requirements-chain.txt
	$(LOCK) --python-version 3.11 requirements-cdp.in -o requirements-cdp.txt
	$(LOCK) --python-version 3.11 requirements-server.in -o requirements-server.txt
	$(LOCK) --python-version 3.11 contracts/requirements.in -o contracts/requirements.txt
	for each in tests/strangers/requirements/*.in; do $(LOCK) --python-version 3.11 "$$each" -o "$${each%.in}.txt" || exit 1; done
	$(LOCK) --python-version 3.12 tests/platforms/requirements.in -o tests/platforms/requirements.txt

# Each image by its digest, in Dockerfile and compose.yaml: again when a tag was changed there, or moved.
lock-images: $(STAMP)
	@$(BIN)/python -m scripts.build.image_digests

# Known holes in what functions ship. Where the service cannot be reached it says so, and that nothing was audited.
audit: $(STAMP)
	$(BIN)/python -m scripts.build.dependency_audit

clean:
	rm -rf .venv .venv-newest .venv-peers .venv-peers-coincurve .venv-strangers .venv-chain .venv-platforms tests/interop/node/node_modules contracts/node_modules contracts/build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* .cache
