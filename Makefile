# Everything a person or CI does with this project. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
TAG ?= $(or $(IMAGE_TAG),local)
PROJECTS ?= keywords ner sentiment

# Files that a macro declares, which cargo fmt does not look into.
FAMILIES := $(wildcard worker/trainer/src/encoder/*.rs)

.PHONY: help setup build start test bench test-failure test-images lint fmt clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z][^:]*:.*## / { gsub(/projects\.[a-z]*\/% /, "", $$1); sub(/projects\.stop\/%/, "projects.{build,unit,integration,functional,start,stop}/<project>", $$1); printf "  \033[1m%-54s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST) | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi

setup: ## what a fresh machine lacks: system packages, libtorch, the base model
	@scripts/setup.sh

build: setup ## dispatcher, worker and trainer
	@scripts/build.sh

start: build ## the jobs of keywords, ner and sentiment on this machine, from their settings to registered versions
	@scripts/start.sh "$(TAG)" $(PROJECTS)

test: ## everything that is tested, from a fresh clone
	@scripts/test.sh

bench: ## the fleet beside Celery, training beside HF Trainer and KeyBERT, each in one run: tables of ratios
	@scripts/bench.sh

test-failure: ## the long failure tests: kill at every step, zombies, chaos, leaks, the projects on fleets
	@scripts/test-failure.sh

test-images: ## the images and the compose file, built and run with a docker daemon of its own (root; an hour the first time)
	@tests/images/run.sh

lint: setup ## formatting and lints
	cargo fmt --all --check
	rustfmt --edition 2024 --check $(FAMILIES)
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## format the code
	cargo fmt --all
	rustfmt --edition 2024 $(FAMILIES)

clean: ## removes what was built and registered here; keeps .tools
	cargo clean
	rm -rf .trainyard

# The train component's own targets: make projects.start/sentiment COMPONENT=train. What is set on make's command line is in
# the script's environment too.
projects.build/% projects.unit/% projects.integration/% projects.functional/% projects.start/% projects.stop/%: ## COMPONENT=train [WITHOUT_DOCKER=true]
	@IMAGE_TAG="$(TAG)" scripts/project.sh "$(patsubst projects.%,%,$@)"
