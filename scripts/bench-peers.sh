#!/usr/bin/env bash
# Installs and builds the servers that the ladder compares with: nginx with nchan, nats-server, two small
# servers on Node.js, one in Go. What cannot be had here is named, and the ladder leaves it out and says so:
# that is no failure.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

missing=()
# Found too where only root looks.
PATH=$PATH:/usr/sbin:/usr/local/sbin
want nginx-light nginx
compgen -G '/usr/*/nginx/modules/ngx_nchan_module.so' >/dev/null || missing+=(libnginx-mod-nchan)
want nats-server nats-server
want redis-server redis-server
want redis-tools redis-benchmark
want iproute2 ip
want util-linux unshare
compgen -G '/usr/lib/postgresql/*/bin/pgbench' >/dev/null || command -v pgbench >/dev/null || missing+=(postgresql)

if ((${#missing[@]})) && ! (install_packages "${missing[@]}"); then
  # Each by itself, so that one that this distribution does not have takes no other with it.
  for package in "${missing[@]}"; do
    (install_packages "$package") || say "NOTE: $package is not installed: what needs it is left out"
  done
fi

for peer in ws socketio; do
  if node_is_new_enough; then
    npm_ci "bench/peers/$peer" || say "NOTE: the packages of bench/peers/$peer are not installed: it is left out"
  else
    say "NOTE: Node 20.19 or newer is not here: bench/peers/$peer is left out"
  fi
done

built=$(target_dir)/bench-peers
if command -v go >/dev/null; then
  mkdir -p "$built"
  go -C bench/peers/centrifuge-go build -trimpath -o "$built/centrifuge-go" . ||
    say "NOTE: bench/peers/centrifuge-go does not build: it is left out"
else
  say "NOTE: Go is not here: bench/peers/centrifuge-go is left out"
fi
