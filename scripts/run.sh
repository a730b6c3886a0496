#!/usr/bin/env bash
# Builds and starts `fanfare`: gateway, chat and notifications in one process on an embedded database.
# Arguments are passed on. PROFILE=release builds it as it would be shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
need_cargo

if node_is_new_enough; then
  npm_ci web
  say "building the page"
  npm run --silent --prefix web build
elif [[ -e web/dist/index.html ]]; then
  say "NOTE: Node 20.19 or newer is not here: the page of an earlier build is served"
else
  say "NOTE: Node 20.19 or newer is not here: running without the page (the sockets and the API are all there)"
fi

profile=${PROFILE:-dev}
say "building fanfare ($profile)"
cargo build --locked --profile "$profile" -p fanfare
folder=$profile
if [[ $profile = dev ]]; then folder=debug; fi
exec "$(target_dir)/$folder/fanfare" "$@"
