# `make help` lists what there is. Each target is one script, which runs as well without make.
.DEFAULT_GOAL := help
.PHONY: help run test lint bench bench-quick compose-smoke validate-manifests ci

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and start everything in one process, and print its address
	@scripts/run.sh

test: ## install what the tests need (Debian, Ubuntu), then run every test
	@scripts/install-test-deps.sh
	@scripts/test.sh

lint: ## formatting, lints, documentation, licences, scripts
	@scripts/lint.sh

bench: ## measure us beside others in all scenarios, for somewhat more than an hour, and write docs/performance.md
	@scripts/bench.sh --document docs/performance.md

bench-quick: ## the same for two minutes after building, to see whether something became slower
	@scripts/bench.sh --quick

compose-smoke: ## bring docker-compose.yml up for real and chat through two gateways
	@deploy/smoke.sh

validate-manifests: ## check the Kubernetes manifests without a cluster
	@scripts/validate-manifests.sh

ci: ## all of the above but `run`, as continuous integration does
	@bash .ci/run
