#!/usr/bin/env bash
# Installs what the tests and lints need on Debian or Ubuntu: Redis and PostgreSQL servers, Chromium, the official
# Python SDK in a virtual environment, the packages of the page. Asks nothing, starts nothing, and leaves
# alone what is there already. Uses sudo where it is not root.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

missing=()
want() { # want PACKAGE COMMAND…: the package, unless one of the commands is there
  local package=$1 command
  shift
  for command; do
    if command -v "$command" >/dev/null; then return; fi
  done
  missing+=("$package")
}

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
  command -v apt-get >/dev/null || die "please install these yourself, this script knows only apt-get: ${missing[*]}"
  as_root=()
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || die "needs root or sudo to install: ${missing[*]}"
    as_root=(sudo -n)
    sudo -n true 2>/dev/null || as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  # Debian starts a server as soon as it is installed. The tests start their own, on free ports.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
  fi
  "${as_root[@]}" apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
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
