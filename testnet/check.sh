#!/usr/bin/env bash
# Everything that CI runs. Needs Rust and the base system; what else it needs it installs as root on Debian or Ubuntu,
# else it names it. What it leaves out because something is missing it names at the end, and fails when CI=true.
# Usage: testnet/check.sh [--full]      --full: the long matrices and the tests on Kubernetes too
set -euo pipefail
cd "$(dirname "$0")/.."
. testnet/requirements.sh

full=
case ${1:-} in
  "") ;;
  --full) full=1 ;;
  *) echo "usage: testnet/check.sh [--full]" >&2; exit 2 ;;
esac

left_out=()
began=$SECONDS
step() {
  printf '\n== %s (after %d s)\n' "$1" $((SECONDS - began))
  shift
  "$@"
}

require_rust
mapfile -t packages < <(build_requirements)
install_packages "${packages[@]}"
mapfile -t packages < <(engine_requirements)
if ! install_packages "${packages[@]}" || [ "$(id -u)" != 0 ]; then
  left_out+=("the end-to-end tests that need a container engine (as root: ${packages[*]:-root rights})")
  export WELKIN_TEST_NO_ENGINE=1
fi
[ -d ../shared/sdl ] || left_out+=("the SDL corpus (no folder ../shared/sdl)")
[ -d ../shared/vectors ] || left_out+=("the block and light-client vectors (no folder ../shared/vectors)")

# How long a cluster's programs take to build on their own was not measured yet, and CI's time is limited.
if [ -z "$full" ]; then export WELKIN_TEST_NO_KUBERNETES=1; fi

if cargo fmt --version >/dev/null 2>&1; then
  step "format" cargo fmt --all --check
else
  left_out+=("formatting (rustup component add rustfmt)")
fi
if cargo clippy --version >/dev/null 2>&1; then
  step "lints" cargo clippy --locked --quiet --workspace --all-targets --all-features -- -D warnings
else
  left_out+=("lints (rustup component add clippy)")
fi
# Not part of what CI must have: the licences, and the bans of deny.toml.
if cargo deny --version >/dev/null 2>&1; then step "licences and bans" cargo deny --offline check licenses bans; fi
if [ -n "$full" ]; then
  mapfile -t packages < <(kubernetes_requirements)
  install_packages "${packages[@]}"
  step "programs of a Kubernetes cluster" testnet/kubernetes/build.sh
fi
step "build" cargo build --locked --quiet --workspace --all-targets
step "tests" cargo test --locked --quiet --workspace
step "simulator, 1,000 seeds" "${CARGO_TARGET_DIR:-target}/debug/welkin-testnet" simulate --seeds 1000
# The whole workspace, so that libraries keep the features that they were built with.
step "simulator, planted bugs" \
  cargo test --locked --quiet --workspace --features welkin-testnet/planted-bugs --test planted_bugs
if [ -n "$full" ]; then
  step "simulator, 20,000 seeds" cargo run --locked --quiet --release -p welkin-testnet -- simulate --seeds 20000
fi

printf '\n'
if [ ${#left_out[@]} -gt 0 ]; then
  printf 'left out: %s\n' "${left_out[@]}" >&2
  if [ "${CI:-}" = true ]; then
    echo "check failed: CI=true leaves nothing out" >&2
    exit 1
  fi
fi
[ -n "$full" ] || echo "not run: the tests on Kubernetes clusters; ./testnet/check.sh --full runs them" >&2
echo "check passed in $((SECONDS - began)) s"
