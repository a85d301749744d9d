#!/usr/bin/env bash
# Builds in release and prints the figures of this machine; see `testnet/bench.sh --help`.
# Usage: testnet/bench.sh [-o table|json] [--peer cometbft] [--only load|idle|whole|settle]
set -euo pipefail
cd "$(dirname "$0")/.."
. testnet/requirements.sh

require_rust
mapfile -t packages < <(build_requirements)
mapfile -t -O "${#packages[@]}" packages < <(provider_requirements)
install_packages "${packages[@]}"
cargo build --locked --quiet --release -p welkin-node -p welkin-provider -p welkin-cli -p welkin-testnet
exec "${CARGO_TARGET_DIR:-target}/release/welkin-testnet" bench "$@"
