#!/usr/bin/env bash
# Kubernetes clusters of this machine: builds what is missing, then does what is asked; see `cluster.sh up --help`.
# Usage: testnet/kubernetes/cluster.sh up [--name NAME] [--nodes 1|2] | down [--name NAME] [--purge]
#                                      | status [--name NAME] [-o table|json] | load FILE [--name NAME]
set -euo pipefail
cd "$(dirname "$0")/../.."
. testnet/requirements.sh

require_rust
program=${CARGO_TARGET_DIR:-target}/debug/welkin-testnet
if [ "${1:-}" = up ]; then
  mapfile -t packages < <(build_requirements; kubernetes_requirements)
  install_packages "${packages[@]}"
  [ -x "$program" ] || echo "building; the first time takes a quarter of an hour on two cores" >&2
  cargo build --locked --quiet -p welkin-testnet
fi
[ -x "$program" ] || cargo build --locked --quiet -p welkin-testnet
exec "$program" cluster "$@"
