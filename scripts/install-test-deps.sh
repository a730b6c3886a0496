#!/usr/bin/env bash
# Installs what the tests and lints need on Debian or Ubuntu: Redis and PostgreSQL servers, Chromium, the official
# Python SDK in a virtual environment, the packages of the page. Asks nothing, starts nothing, and leaves
# alone what is there already. Uses sudo where it is not root.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

missing=()
have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }

want redis-server redis-server
have_postgres || missing+=(postgresql)
want git git
want make make
want gcc cc
want shellcheck shellcheck
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
# Ubuntu's package of Chromium is an empty one that fetches a snap: there, Playwright brings its own (below).
if ! find_chromium >/dev/null && ! grep -qs '^ID=ubuntu' /etc/os-release; then
  missing+=(chromium fonts-dejavu-core)
fi

if ((${#missing[@]})); then
  install_packages "${missing[@]}"
fi

have_postgres || die "PostgreSQL is still missing"

# The official Python SDK, which is one of the clients of the end-to-end tests.
venv=$(python_venv)
stamp=$venv/.requirements
if [[ ! -x $venv/bin/python ]] || ! cmp -s scripts/python-requirements.txt "$stamp"; then
  say "making $venv"
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check -r scripts/python-requirements.txt
  cp scripts/python-requirements.txt "$stamp"
fi

# The page, and the official JavaScript SDK.
need_node
npm_ci web
npm_ci e2e/js

if ! find_chromium >/dev/null; then
  say "installing Playwright's Chromium"
  npx --prefix web playwright-core install --with-deps chromium
fi
find_chromium >/dev/null || die "Chromium is still missing: set CHROMIUM to the path of one"
