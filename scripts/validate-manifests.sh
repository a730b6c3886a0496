#!/usr/bin/env bash
# Checks the Kubernetes manifests without a cluster: every overlay must render, and, where a validator is at
# hand, pass it with its advice counted as errors.
#
#   MANIFEST_VALIDATOR   a program that takes --strict, --allow-kind KIND, --external KIND/NAME and folders;
#                        default: ../shared/k8s/validate.sh beside this checkout, if it is there
set -euo pipefail
cd "$(dirname "$0")/.."

overlays=(deploy/kubernetes/overlays/*/)
overlays=("${overlays[@]%/}")

# What the operator makes: see deploy/README.md.
external=(
  secret/fanfare-gateway secret/fanfare-chat-service secret/fanfare-notify-service secret/fanfare-tls
)

# kustomize reads nothing from outside its own folders, so these files are there twice.
same() {
  cmp -s "$1" "$2" || { echo "$1 and $2 must be the same file: copy one over the other" >&2; exit 1; }
}
same deploy/compose/redis.conf deploy/kubernetes/components/datastores-dev/redis.conf
same deploy/compose/postgres-init.sh deploy/kubernetes/components/datastores-dev/postgres-init.sh

validator=${MANIFEST_VALIDATOR:-}
if [[ -z $validator && -x ../shared/k8s/validate.sh ]]; then
  validator=../shared/k8s/validate.sh
fi

if ! command -v kubectl >/dev/null; then
  echo "validate-manifests: kubectl is not here: https://kubernetes.io/docs/tasks/tools/" >&2
  exit 1
fi
# The default load restrictor is what `kubectl apply -k` uses.
for overlay in "${overlays[@]}"; do
  kubectl kustomize "$overlay" >/dev/null
  echo "$overlay: renders"
done

if [[ -n $validator ]]; then
  args=(--strict --allow-kind HTTPRoute)
  for name in "${external[@]}"; do args+=(--external "$name"); done
  "$validator" "${args[@]}" "${overlays[@]}"
else
  echo "validate-manifests: NOTE: no validator (MANIFEST_VALIDATOR): only rendering was checked" >&2
fi
