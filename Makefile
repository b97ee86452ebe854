# Two commands do the main job: `make run` and `make test`. Each target only calls a script; how it works is said there.

HOSTS ?=
GUEST ?= 1
FAULTS ?= 300
BLOCK_FAULTS ?= 500
KILLS ?= 200
SEED  ?= 1
PYTHON := .venv/bin/python
FAST   := tests/house tests/unit tests/scenarios tests/contract
# Every other folder of tests, so that none is forgotten.
# These take minutes too, but need no lab.
BESIDE := tests/api tests/simulation
REAL   := $(filter-out $(FAST) $(BESIDE),$(patsubst %/__init__.py,%,$(wildcard tests/*/__init__.py)))

.PHONY: run stop clean venv lint types test test-fast faults deb bench-consensus bench-block

run:        ## a cloud of HOSTS simulated hosts on this machine, until Ctrl-C
	@packaging/prepare.py run build lab
	@$(PYTHON) -m tests.lab.run $(if $(HOSTS),--hosts $(HOSTS)) --guest $(GUEST)

stop:       ## end that cloud from another shell; its data stay
	@! test -x $(PYTHON) || $(PYTHON) -m tests.lab down

clean: stop ## forget its data
	@rm -rf .lab clouds.yaml build

venv:       ## .venv, as the locks say
	@packaging/prepare.py run build

lint: venv
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

types: venv
	@$(PYTHON) -m mypy
	@$(PYTHON) -m mypy --strict tests/lab tests/guest tests/packaging

test-fast: lint types
	@$(PYTHON) -m pytest $(FAST)

test: lint types  ## everything: lint, types, then all tests, the quick ones first
	@packaging/prepare.py run build lab test
	@$(PYTHON) -m tests.real $(FAST)
	@$(PYTHON) -m tests.real $(REAL) --beside $(BESIDE)

bench-consensus: ## the log beside etcd, under kills of its leader, and with many nodes: tables for docs/benchmarks.md
	@packaging/prepare.py run build bench
	@$(PYTHON) -m tests.bench.consensus.beside
	@$(PYTHON) -m tests.bench.consensus.failover
	@$(PYTHON) -m tests.bench.consensus.many

bench-block: ## a volume beside Ceph RBD and the raw disk, in one run: a table for docs/benchmarks.md
	@packaging/prepare.py run build bench-block
	@$(PYTHON) -m tests.bench.block

faults:     ## FAULTS for the log, BLOCK_FAULTS for volumes, KILLS in users' work (docs/faults.md); another SEED breaks others
	@packaging/prepare.py run build lab test
	@$(PYTHON) -m tests.faults.log --faults $(FAULTS) --seed $(SEED)
	@$(PYTHON) -m tests.faults.block --faults $(BLOCK_FAULTS) --seed $(SEED)
	@$(PYTHON) -m tests.faults.operations --kills $(KILLS) --seed $(SEED)

deb:        ## build/noded_<version>_amd64.deb
	@packaging/prepare.py --no-venv run build
	@/usr/bin/python3 packaging/deb.py
