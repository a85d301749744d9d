#!/usr/bin/env bash
# A private Podman service behind its Docker-compatible API, for networks on machines where no engine runs.
# Everything it owns lies under DIR, so that taking DIR away leaves nothing.
# Usage: testnet/engine.sh start DIR | stop DIR | purge DIR
#   start: prints the socket's path once the service answers.   stop: ends the service; containers stay.
#   purge: removes every container and network of this engine, its mounts and DIR itself.
set -Eeuo pipefail
trap 'echo "engine.sh: line $LINENO failed ($?): $BASH_COMMAND" >&2' ERR
action=${1:-}
dir=${2:-}
[ -n "$dir" ] || { echo "usage: engine.sh start|stop|purge DIR" >&2; exit 2; }
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
# A Unix socket's path is at most 107 bytes and Podman's `runroot` at most 50, a work tree's path may be longer: both lie
# in a short folder.
short=/tmp/welkin-engine-$(printf %s "$dir" | sha256sum | cut -c1-12)
# netavark's chains are the machine's, not one engine's: it looks whether they are there, and then makes them. Whoever
# changes them holds this lock, each engine's netavark too.
chains_lock=/tmp
# Where distributions and builds put Podman's helpers.
helpers="/usr/local/libexec/podman /usr/local/lib/podman /usr/libexec/podman /usr/lib/podman"

# Engines do not see each other's networks while these have no running container, so each takes its addresses from a
# range 10.N.0.0/16 of its own. A claim to N is a folder with its owner in it. Claims go with the machine's temporary
# files; the networks that were made in the range stay.
claims=/tmp/welkin-engine-ranges

# Claims range $1; renaming is atomic, and fails where another claim is.
claim() {
  local new=$claims/.$$
  mkdir -p "$new"
  echo "$dir" > "$new/owner"
  if [ ! -e "$claims/$1" ] && mv -T "$new" "$claims/$1" 2>/dev/null; then return 0; fi
  rm -r "$new"
  return 1
}

owns() { [ "$(cat "$claims/$1/owner" 2>/dev/null)" = "$dir" ]; }

claim_range() {
  local n
  if [ -s "$dir/range" ]; then
    n=$(cat "$dir/range")
    if owns "$n" || claim "$n"; then return 0; fi
    echo "engine.sh: 10.$n.0.0/16, in which $dir has its networks, is another engine's by now; purge one of the two" >&2
    exit 1
  fi
  for n in $(seq 100 199); do
    if [ -z "$(ip -4 route show root "10.$n.0.0/16")" ] && claim "$n"; then
      echo "$n" > "$dir/range"
      return 0
    fi
  done
  echo "engine.sh: all ranges 10.100.0.0/16 to 10.199.0.0/16 are taken; see $claims" >&2
  exit 1
}

# Podman finds this netavark first. The lock stays with `flock`: a name server that netavark starts lives longer.
write_netavark() {
  local folder
  mkdir -p "$dir/helpers"
  for folder in $helpers; do
    if [ -x "$folder/netavark" ]; then
      printf '#!/bin/sh\nexec flock --close --wait 60 %s %s "$@"\n' "$chains_lock" "$folder/netavark" > "$dir/helpers/netavark"
      chmod +x "$dir/helpers/netavark"
      return 0
    fi
  done
  echo "engine.sh: netavark is in none of $helpers; install it: apt-get install netavark aardvark-dns" >&2
  exit 1
}

write_config() {
  mkdir -p "$dir"/{root,tmp,networks}
  install -d -m 0700 "$short" "$short/run"
  claim_range
  write_netavark
  cat > "$dir/containers.conf" <<CONF
[network]
network_backend = "netavark"
network_config_dir = "$dir/networks"
default_subnet_pools = [{ base = "10.$(cat "$dir/range").0.0/16", size = 24 }]
[engine]
helper_binaries_dir = ["$dir/helpers"$(printf ', "%s"' $helpers)]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
CONF
}

podman_private() {
  CONTAINERS_CONF=$dir/containers.conf timeout 60 podman --root "$dir/root" --runroot "$short/run" --tmpdir "$dir/tmp" \
    --network-config-dir "$dir/networks" --log-level error "$@"
}

# Whether process $1 runs; a number without one, and one that nobody has waited for, do not.
runs() { [ -n "$1" ] && [ -e "/proc/$1" ] && ! grep -qs '^State:.[ZX]' "/proc/$1/status"; }

pause() { read -rt 0.05 <> <(:) || true; }

# Waits until process $1 has ended, at most $2 seconds.
ended_within() {
  local _
  for _ in $(seq $(($2 * 20))); do
    runs "$1" || return 0
    pause
  done
  return 1
}

# The service's process, if it runs: the number alone may be somebody else's by now.
service() {
  local pid
  pid=$(cat "$dir/pid" 2>/dev/null) || return 1
  runs "$pid" && grep -qzF "$dir/root" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

alive() { service >/dev/null; }

answers() { curl -fsS --max-time 2 --unix-socket "$short/api.sock" http://engine/_ping >/dev/null 2>&1; }

stop_service() {
  local pid
  if pid=$(service); then
    kill "$pid" 2>/dev/null || true
    # It waits for whoever still talks to it.
    ended_within "$pid" 10 || { kill -9 "$pid" 2>/dev/null || true; ended_within "$pid" 10 || true; }
  fi
  rm -f "$dir/pid" "$short/api.sock"
}

# Runs a command while nobody else changes netavark's chains.
with_chains_locked() {
  (
    flock --wait 60 "$lock" || echo "engine.sh: somebody holds the lock on $chains_lock; going on without" >&2
    "$@"
  ) {lock}<"$chains_lock"
}

# The rules of netavark's chains in table $1, those that jump there too, as `iptables-save` writes them.
chain_rules() { iptables-save -t "$1" 2>/dev/null | grep -E '^-A .*NETAVARK' || true; }

# Deletes those of the rules of table $1 that match the pattern $2, all or none.
delete_rules() {
  local rules
  rules=$(chain_rules "$1" | grep -E -- "$2" | sed 's/^-A/-D/' || true)
  if [ -n "$rules" ]; then printf '*%s\n%s\nCOMMIT\n' "$1" "$rules" | iptables-restore --noflush || true; fi
}

# What netavark made for this engine and left: where it fails half-way, or is killed, it takes nothing away again.
drop_own_networks() {
  local bridge pattern chain
  pattern=" 10\.$(cat "$dir/range" 2>/dev/null || echo none)\.[0-9]+\.[0-9]+(/[0-9]+)? "
  for bridge in $({ grep -ohE '"network_interface": *"[^"]+"' "$dir"/networks/*.json 2>/dev/null || true; } | cut -d'"' -f4); do
    ip link delete "$bridge" 2>/dev/null || true
    pattern+="| $bridge "
  done
  command -v iptables-save >/dev/null || return 0
  delete_rules filter "$pattern"
  delete_rules nat "$pattern"
  # The chain of a network, or of a container's ports, to which nothing leads any more.
  for chain in $(netavark_chains nat | grep -vE '^NETAVARK-HOSTPORT-' || true); do
    if [ -z "$(chain_rules nat | grep -E -- "-j $chain\$" || true)" ]; then
      iptables -t nat -F "$chain" && iptables -t nat -X "$chain" || true
    fi
  done
}

# netavark's chains stay when its last network is gone. Where they carry no network any more, they are taken away, and
# with them the tables that stand empty then.
drop_idle_chains() {
  command -v nft >/dev/null && nft list chain ip nat NETAVARK-HOSTPORT-DNAT >/dev/null 2>&1 || return 0
  local rule interface used table chain handle
  # It forgets rules of networks whose engine was killed: those of interfaces that are gone.
  chain_rules filter | { grep -E '^-A NETAVARK_ISOLATION' || true; } | while read -r rule; do
    interface=$(grep -oE -- '-[io] [^ ]+' <<<"$rule" | head -n 1 | cut -d' ' -f2 || true)
    # shellcheck disable=SC2086 -- the rule's words are the command's arguments
    if [ -n "$interface" ] && [ ! -e "/sys/class/net/$interface" ]; then iptables -D ${rule#-A } || true; fi
  done
  # Not `grep -q` behind a pipe: it ends at the first line, and the writer's broken pipe would say that there was none.
  used='^-A (NETAVARK_FORWARD|NETAVARK_ISOLATION|NETAVARK-[0-9A-F]{4,}|NETAVARK-HOSTPORT-DNAT)'
  if [ -n "$({ chain_rules filter; chain_rules nat; } | grep -E "$used" || true)" ]; then return 0; fi
  for table in filter nat; do
    { nft -a list table ip "$table" 2>/dev/null || true; } |
      awk '/chain /{chain=$2} /jump NETAVARK/{print chain, $NF}' |
      while read -r chain handle; do nft delete rule ip "$table" "$chain" handle "$handle" || true; done
    for chain in $(netavark_chains "$table"); do nft flush chain ip "$table" "$chain" || true; done
    for chain in $(netavark_chains "$table"); do nft delete chain ip "$table" "$chain" || true; done
    # A table that holds nothing but base chains without rules and with an accepting policy has no effect.
    if [ -z "$(more_than_base_chains "$table")" ]; then nft delete table ip "$table" 2>/dev/null || true; fi
  done
}

netavark_chains() { { nft list table ip "$1" 2>/dev/null || true; } | awk '/chain NETAVARK/{print $2}'; }

more_than_base_chains() {
  { nft list table ip "$1" 2>/dev/null || true; } |
    grep -vE '^(table .*|\s*chain .*\{|\s*type .* policy accept;|\s*\}|)$' || true
}

# Podman's monitors of this engine's containers and commands.
is_monitor() {
  [ "$(cat "$1/comm" 2>/dev/null)" = conmon ] && grep -qszF "$dir/root/" "$1/cmdline"
}

# Monitors of commands that have ended would stay for five minutes, to tell an exit code that nobody will ask for any
# more. One with a child still has something to watch. A container's goes by itself, once it has cleaned up.
end_idle_monitors() {
  local parents process
  # A process that ends between the listing and the look makes grep fail.
  parents=$({ grep -hs '^PPid:' /proc/[0-9]*/status || true; } | cut -f2 | sort -u)
  for process in /proc/[0-9]*; do
    if is_monitor "$process" && grep -qszxFe --exec-process-spec "$process/cmdline" && ! grep -qx "${process#/proc/}" <<<"$parents"; then
      kill -9 "${process#/proc/}" 2>/dev/null || true
    fi
  done
}

# What lives on without its engine: monitors, and the processes of a container whose monitor was killed, which is
# forgotten; they are known by their root, which lies in this engine's storage.
is_left() {
  local roots_here='$5 == "/" && index($0, storage) {left = 1} END {exit !left}'
  is_monitor "$1" || awk -v storage="=$dir/root/" "$roots_here" "$1/mountinfo" 2>/dev/null
}

kill_left() {
  local process
  for process in /proc/[0-9]*; do
    if is_left "$process"; then kill -9 "${process#/proc/}" 2>/dev/null || true; fi
  done
}

case $action in
  start)
    if alive && answers; then echo "$short/api.sock"; exit 0; fi
    stop_service
    write_config
    # Its monitors leave files where they are started.
    cd "$dir"
    CONTAINERS_CONF=$dir/containers.conf setsid podman --root "$dir/root" --runroot "$short/run" --tmpdir "$dir/tmp" \
      --network-config-dir "$dir/networks" --log-level error system service --time=0 "unix://$short/api.sock" \
      </dev/null >>"$dir/service.log" 2>&1 &
    echo $! > "$dir/pid"
    for _ in $(seq 200); do
      if answers; then echo "$short/api.sock"; exit 0; fi
      runs "$(cat "$dir/pid")" || {
        echo "engine.sh: podman ended; its words are in $dir/service.log:" >&2
        tail -n 5 "$dir/service.log" >&2
        exit 1
      }
      pause
    done
    echo "engine.sh: podman does not answer on $short/api.sock after 10 s; see $dir/service.log" >&2
    exit 1
    ;;
  stop)
    stop_service
    end_idle_monitors
    ;;
  purge)
    if [ -e "$dir/containers.conf" ]; then
      podman_private rm --all --force --time 0 >/dev/null 2>&1 || true
      podman_private network prune --force >/dev/null 2>&1 || true
    fi
    stop_service
    kill_left
    # What a killed engine may have left: its mounts, deepest first.
    awk -v dir="$dir/" -v short="$short/" 'index($5, dir) == 1 || index($5, short) == 1 {print length($5), $5}' \
      /proc/self/mountinfo | sort -rn | cut -d' ' -f2- |
      while read -r mount; do umount -l "$mount" 2>/dev/null || true; done
    if [ -e "$dir/containers.conf" ]; then with_chains_locked drop_own_networks; fi
    if [ -s "$dir/range" ] && owns "$(cat "$dir/range")"; then rm -r "$claims/$(cat "$dir/range")"; fi
    rmdir "$claims" 2>/dev/null || true
    rm -rf "$dir" "$short"
    with_chains_locked drop_idle_chains
    for group in /sys/fs/cgroup/*/libpod_parent /sys/fs/cgroup/libpod_parent; do
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    ;;
  *)
    echo "usage: engine.sh start|stop|purge DIR" >&2
    exit 2
    ;;
esac
