#!/usr/bin/env bash
# Builds everything and climbs the ladder: ours, the peers and the floor in every scenario. Arguments are
# those of `fanfare-bench ladder`; `--quick` takes two minutes after building.
# PROFILE=fast builds in a fraction of the time, for measuring while one works.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
need_cargo

scripts/bench-peers.sh
profile=${PROFILE:-release}
step "cargo build ($profile)" cargo build --locked --profile "$profile" -p gateway -p fanfare -p bench
bin=$(target_dir)/$profile
exec "$bin/fanfare-bench" ladder --out "$(target_dir)/bench" "$@"
