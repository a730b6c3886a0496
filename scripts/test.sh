#!/usr/bin/env bash
# Every test: the page's, the crates', the system's as processes, the last with a browser among them.
# What they need is installed by scripts/install-test-deps.sh; `make test` calls both.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
need_cargo
need_node

CHROMIUM=$(find_chromium) || die "no Chromium: run scripts/install-test-deps.sh"
FANFARE_TEST_PYTHON=$(python_venv)/bin/python
[[ -x $FANFARE_TEST_PYTHON ]] || die "no Python SDK: run scripts/install-test-deps.sh"
export CHROMIUM FANFARE_TEST_PYTHON

step "web: lint" npm run --silent --prefix web lint
step "web: unit tests" npm test --silent --prefix web
step "web: build" npm run --silent --prefix web build
# The end-to-end tests start the binaries themselves, and one of them the browser.
step "cargo build" cargo build --workspace --bins --locked
step "cargo test" cargo test --workspace --locked
