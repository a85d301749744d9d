#!/usr/bin/env bash
# Builds what is needed and brings a network up on this machine; see `testnet/up.sh --help`. Running it again is harmless.
# Usage: testnet/up.sh [--name NAME] [--validators 1..7] [--providers 0..3] [--kubernetes]
#                      [--rules FILE] [--demo] [--fresh]
set -euo pipefail
cd "$(dirname "$0")/.."
. testnet/requirements.sh

require_rust
mapfile -t packages < <(build_requirements)
# A network without providers needs no container engine.
case " $* " in
  *" --kubernetes "*) mapfile -t -O "${#packages[@]}" packages < <(kubernetes_requirements; missing_packages busybox=busybox-static) ;;
  *" --help "* | *" -h "* | *" --providers 0 "* | *" --providers=0 "*) ;;
  *) mapfile -t -O "${#packages[@]}" packages < <(provider_requirements) ;;
esac
install_packages "${packages[@]}"
program=${CARGO_TARGET_DIR:-target}/debug/welkin-testnet
[ -x "$program" ] || echo "building; the first time takes five to ten minutes on two cores" >&2
cargo build --locked -p welkin-node -p welkin-provider -p welkin-cli -p welkin-testnet
exec "$program" up "$@"
