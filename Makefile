# What a newcomer types; `make help` lists it. The lock holds the versions that were tested together.
PYTHON ?= python3
RADIOGRAPH ?=
PIP = -m pip install --quiet --disable-pip-version-check -c requirements.lock

.DEFAULT_GOAL := help
.PHONY: help run serve test lint format bench bench-training image-test lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/ready ## send a radiograph (RADIOGRAPH=path, or a drawn one) to the service; answer in out/
	.venv/bin/python examples/run.py $(if $(RADIOGRAPH),"$(RADIOGRAPH)")

serve: .venv/ready ## the service with its page, until stopped
	.venv/bin/panoseg serve

test: lint ## everything that tests: service, training, page
	.venv-test/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: .venv-test/ready ## ruff, mypy --strict on service/, import-linter
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy
	.venv-test/bin/lint-imports

format: .venv-test/ready ## format the code
	.venv-test/bin/ruff format .
	.venv-test/bin/ruff check --fix .

bench: .venv-test/ready ## this service beside a tutorial's stack, the bare network and three other servers; QUICK=1 for a trial
	.venv-test/bin/python -m benchmarks.compare $(if $(QUICK),--quick)

bench-training: .venv-test/ready ## `panoseg train` beside a plain training loop, trick by trick; table in benchmarks/results/
	.venv-test/bin/python -m benchmarks.training_speed

image-test: ## build the CPU image, run it with compose, send it a radiograph, stop it
	docker/image_test.sh

lock: ## choose the newest versions of everything anew, into requirements.lock
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet '.[cpu,training,dev]'
	(echo "# The versions that were tested together, for every extra; pip reads it as constraints (-c). Made by \`make lock\`."; \
	 (.venv-lock/bin/python -m pip freeze | grep -v '^panoseg'; grep -E '^onnxruntime-' requirements.lock) | sort -f) > requirements.new
	mv requirements.new requirements.lock
	rm -rf .venv-lock

clean: ## remove the environments and what was made with them
	rm -rf .venv .venv-test out

.venv/ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) -e '.[cpu]'
	touch $@

.venv-test/ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/python $(PIP) -e '.[cpu,training,dev]'
	touch $@
