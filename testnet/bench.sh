#!/usr/bin/env bash
# Builds in release and prints the figures of this machine; see `testnet/bench.sh --help`.
# Usage: testnet/bench.sh [-o table|json] [--peer cometbft] [--only load|idle|whole|settle]
set -euo pipefail
cd "$(dirname "$0")/.."
. testnet/requirements.sh

require_rust
mapfile -t packages < <(build_requirements)
if [ ! -S "${DOCKER_HOST:-}" ] && [ ! -S /var/run/docker.sock ] && [ ! -S /run/podman/podman.sock ]; then
  mapfile -t -O "${#packages[@]}" packages < <(engine_requirements)
fi
install_packages "${packages[@]}"
cargo build --locked --quiet --release -p welkin-node -p welkin-provider -p welkin-cli -p welkin-testnet
exec "${CARGO_TARGET_DIR:-target}/release/welkin-testnet" bench "$@"
