# Sourced by the other scripts: what this machine needs, and how it gets it.

# Prints the Debian packages of which the named commands are missing.
missing_packages() {
  local pair command package
  for pair in "$@"; do
    command=${pair%%=*} package=${pair#*=}
    command -v "$command" >/dev/null 2>&1 || [ -x "/usr/lib/podman/$command" ] || [ -x "/usr/sbin/$command" ] || echo "$package"
  done | sort -u
}

# What a container engine of our own needs, and the demo's image. netavark and aardvark-dns: else containers do not
# find each other by name. runc: crun 1.8 refuses hybrid cgroups.
engine_requirements() {
  missing_packages podman=podman netavark=netavark aardvark-dns=aardvark-dns runc=runc nft=nftables iptables=iptables \
    ip=iproute2 busybox=busybox-static curl=curl
}

# What providers need: with an engine that runs, no second one.
provider_requirements() {
  local socket=${DOCKER_HOST:-}
  if [ -S "${socket#unix://}" ] || [ -S /var/run/docker.sock ] || [ -S /run/podman/podman.sock ]; then
    missing_packages nft=nftables busybox=busybox-static
  else
    engine_requirements
  fi
}

# What the compiler needs beside Rust: a linker and, for the TLS library of QUIC, a C compiler.
build_requirements() { missing_packages cc=gcc make=make curl=curl; }

# Installs the packages where this is root on Debian or Ubuntu, else names them with the exact command; false then.
install_packages() {
  [ "$#" -gt 0 ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing: $*" >&2
    local log
    log=$(mktemp)
    if { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } >"$log" 2>&1; then
      rm -f "$log"
      return 0
    fi
    tail -n 5 "$log" >&2
    echo "these packages could not be installed: $*; the whole output is in $log" >&2
    return 1
  fi
  echo "missing on this machine; install with: sudo apt-get install --no-install-recommends $*" >&2
  return 1
}

require_rust() {
  if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi
  command -v cargo >/dev/null || { echo "Rust 1.90 or newer is missing; install it from https://rustup.rs" >&2; return 1; }
}

# What a Kubernetes cluster of our own needs beside Go: what runc's seccomp filters are compiled with, the plugins that
# give pods their addresses, and what Kubernetes and Calico call.
kubernetes_requirements() {
  missing_packages cc=gcc pkg-config=pkg-config nft=nftables iptables=iptables ipset=ipset ip=iproute2 nsenter=util-linux \
    patch=patch curl=curl
  [ -e /usr/include/seccomp.h ] || echo libseccomp-dev
  [ -x /usr/lib/cni/host-local ] || echo containernetworking-plugins
}
