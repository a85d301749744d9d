#!/usr/bin/env bash
# Takes a network down; its folder stays, and up.sh goes on with it. With --purge nothing of it is left.
# Usage: testnet/down.sh [--name NAME] [--purge]
set -euo pipefail
cd "$(dirname "$0")/.."
. testnet/requirements.sh

require_rust
program=${CARGO_TARGET_DIR:-target}/debug/welkin-testnet
[ -x "$program" ] || cargo build --locked --quiet -p welkin-testnet
exec "$program" down "$@"
