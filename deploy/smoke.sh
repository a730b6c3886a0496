#!/usr/bin/env bash
# Brings docker-compose.yml up for real, unedited, and uses it as two people would: chat through two
# different gateways, a notification by the server API, a third gateway, and away with it.
#
# Runs beside a stack of your own: it has its own project name, address and image tag.
#   FANFARE_SMOKE_ADDRESS   the loopback address to publish on; default 127.77.0.1
#   FANFARE_BUILD_PROFILE   default dev: quick to compile
#   BASE_IMAGES_SCRIPT      a script that starts an engine and provides the base images where no registry is
#                           reached; default ../shared/docker/base-images.sh beside this checkout, if it is there
# Exit status 77: this machine has no engine, or no way to get the base images.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
need_node

address=${FANFARE_SMOKE_ADDRESS:-127.77.0.1}
export COMPOSE_PROJECT_NAME=fanfare-smoke-$$
export FANFARE_BIND=$address FANFARE_API_BIND=$address FANFARE_PORT=8080 FANFARE_API_PORT=9000
export FANFARE_TAG=smoke FANFARE_BUILD_PROFILE=${FANFARE_BUILD_PROFILE:-dev}
# An engine may be forbidden to promise more files than it may open itself.
limit=$(ulimit -Hn)
if [[ $limit != unlimited ]] && ((limit < 65536)); then export FANFARE_NOFILE=$limit; fi

base_images=${BASE_IMAGES_SCRIPT:-}
if [[ -z $base_images && -x ../shared/docker/base-images.sh ]]; then
  base_images=../shared/docker/base-images.sh
fi
if [[ -n $base_images ]]; then
  step "base images" "$base_images" tools debian redis postgres rust node nginx
fi
if ! docker info >/dev/null 2>&1 || ! docker compose version >/dev/null 2>&1; then
  say "smoke: no container engine with compose answers here"
  exit 77
fi
if ! docker image inspect debian:bookworm-slim >/dev/null 2>&1 && ! docker pull -q debian:bookworm-slim >/dev/null; then
  say "smoke: the base images are not here, and no registry is reached"
  exit 77
fi

compose() { docker compose "$@"; }
# shellcheck disable=SC2329 # called by the trap
finish() {
  local status=$?
  trap - EXIT
  if ((status)); then
    say "smoke: failed; the last of what the containers said:"
    compose ps --all >&2 || true
    compose logs --no-color --tail 60 >&2 || true
  fi
  compose down --volumes --remove-orphans --timeout 20 >/dev/null 2>&1 || true
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

npm_ci deploy/smoke

step "compose: build" compose build --quiet
step "compose: up" compose up --detach --no-build --wait --wait-timeout 240
running() { compose ps --status running --quiet gateway | wc -l; }
[[ $(running) = 2 ]] || die "two gateways were expected, not $(running)"

export FANFARE_SMOKE_URL=http://$address:$FANFARE_PORT FANFARE_SMOKE_API=http://$address:$FANFARE_API_PORT
step "chat through two gateways" node deploy/smoke/smoke.mjs 2

step "compose: scale to three" compose up --detach --no-build --no-recreate --wait --wait-timeout 120 --scale gateway=3
[[ $(running) = 3 ]] || die "three gateways were expected, not $(running)"
# The first one is stopped while people chat through all of them.
step "chat through three gateways" node deploy/smoke/smoke.mjs 3 \
  "docker stop --time 45 $(compose ps --quiet gateway | head -n 1)"
[[ $(running) = 2 ]] || die "two gateways were expected to be left, not $(running)"

# Drained, not killed: the exit status of a gateway that was stopped says so.
step "compose: stop" compose stop --timeout 45
for container in $(compose ps --all --quiet gateway chat-service notify-service); do
  code=$(docker inspect --format '{{.State.ExitCode}}' "$container")
  [[ $code = 0 ]] || die "$(docker inspect --format '{{.Name}}' "$container") ended with $code instead of 0"
done
say "smoke: passed"
