#!/usr/bin/env bash
# Builds what is needed and brings a network up on this machine; see `testnet/up.sh --help`. Running it again is harmless.
# Usage: testnet/up.sh [--name NAME] [--validators 1..7] [--providers 0..3] [--rules FILE] [--demo] [--fresh]
set -euo pipefail
cd "$(dirname "$0")/.."
. testnet/requirements.sh

require_rust
engine_socket=${DOCKER_HOST:-}
engine_socket=${engine_socket#unix://}
mapfile -t packages < <(build_requirements)
# A network without providers needs no container engine, and an engine that runs needs no second one.
case " $* " in
  *" --help "* | *" -h "* | *" --providers 0 "* | *" --providers=0 "*) ;;
  *)
    if [ -S "${engine_socket:-}" ] || [ -S /var/run/docker.sock ] || [ -S /run/podman/podman.sock ]; then
      mapfile -t -O "${#packages[@]}" packages < <(missing_packages nft=nftables busybox=busybox-static)
    else
      mapfile -t -O "${#packages[@]}" packages < <(engine_requirements)
    fi
    ;;
esac
install_packages "${packages[@]}"
program=${CARGO_TARGET_DIR:-target}/debug/welkin-testnet
[ -x "$program" ] || echo "building; the first time takes about five minutes on two cores" >&2
cargo build --locked -p welkin-node -p welkin-provider -p welkin-cli -p welkin-testnet
exec "$program" up "$@"
