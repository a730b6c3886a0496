# What the scripts share. To be sourced from the root of the repository, under `set -euo pipefail`.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

need_cargo() {
  command -v cargo >/dev/null || die "cargo is not here. Install Rust: https://rustup.rs (rust-toolchain.toml names the version)"
}

# Vite's own minimum.
node_is_new_enough() {
  command -v node >/dev/null && command -v npm >/dev/null &&
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}

need_node() {
  node_is_new_enough || die "Node 20.19 or newer is not here: https://nodejs.org"
}

# Packages of FOLDER as its lock file says, unless they are those already.
npm_ci() {
  local folder=$1 stamp=$1/node_modules/.fanfare-lock
  if ! cmp -s "$folder/package-lock.json" "$stamp"; then
    say "installing the packages of $folder"
    npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error
    cp "$folder/package-lock.json" "$stamp"
  fi
}

# want PACKAGE COMMAND…: adds the package to the array `missing`, unless one of the commands is there.
want() {
  local package=$1 command
  shift
  for command; do
    if command -v "$command" >/dev/null; then return; fi
  done
  missing+=("$package")
}

# Installs Debian's packages, asks nothing and starts nothing. Uses sudo where it is not root.
install_packages() {
  command -v apt-get >/dev/null || die "please install these yourself, this script knows only apt-get: $*"
  local as_root=() policy=/usr/sbin/policy-rc.d policy_is_ours=no status=0
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || die "needs root or sudo to install: $*"
    as_root=(sudo -n)
    sudo -n true 2>/dev/null || as_root=(sudo)
  fi
  say "installing $*"
  # Debian starts a server as soon as it is installed. The scripts start their own, on free ports.
  if [[ ! -e $policy ]]; then
    policy_is_ours=yes
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
  fi
  { "${as_root[@]}" apt-get -qq update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null; } || status=$?
  if [[ $policy_is_ours = yes ]]; then "${as_root[@]}" rm -f "$policy"; fi
  return "$status"
}

# Where cargo puts what it builds: its configuration may say so too.
target_dir() {
  local dir=${CARGO_TARGET_DIR:-}
  if [[ -z $dir ]]; then
    dir=$(cargo metadata --format-version 1 --no-deps --offline 2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  fi
  printf '%s\n' "${dir:-$PWD/target}"
}

python_venv() { printf '%s\n' "$(target_dir)/test-venv"; }

find_chromium() {
  if [[ -n ${CHROMIUM:-} ]]; then
    printf '%s\n' "$CHROMIUM"
    return
  fi
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name"; then return; fi
  done
  # What Playwright has installed, if it has.
  local path
  path=$(node -p 'require("./web/node_modules/playwright-core").chromium.executablePath()' 2>/dev/null) &&
    [[ -x $path ]] && printf '%s\n' "$path"
}

# step NAME COMMAND…: runs it, and says how long it took.
step() {
  local name=$1 start=$SECONDS status=0
  shift
  say "==> $name"
  "$@" || status=$?
  if ((status)); then
    say "<== $name: FAILED ($status) after $((SECONDS - start)) s"
  else
    say "<== $name: $((SECONDS - start)) s"
  fi
  return "$status"
}
