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

target_dir() { printf '%s\n' "${CARGO_TARGET_DIR:-$PWD/target}"; }

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
