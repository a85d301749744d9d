#!/usr/bin/env bash
# Makes the image of the demo program from what this machine has, without pulling anything:
# the program, its loader and libraries, and a static busybox for `sh`.
# Usage: testnet/apps/build-image.sh OUT.tar      (a docker-archive, image welkin.local/hello:1)
set -euo pipefail
out=${1:?usage: build-image.sh OUT.tar}
here=$(cd "$(dirname "$0")" && pwd)
image=welkin.local/hello:1

cargo build --quiet --release --manifest-path "$here/hello/Cargo.toml"
program=$here/hello/target/release/hello
busybox=$(command -v busybox) || { echo "build-image: busybox is missing; install it: apt-get install busybox-static" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev}
chmod 1777 "$root/tmp"
install -m 0755 "$program" "$root/hello"
install -m 0755 "$busybox" "$root/bin/busybox"
# Not wget: a static glibc program that resolves names crashes where the name service's libraries are not. `hello ask`
# does that part.
for applet in sh cat ls echo env sleep nc id ps kill true false head tail stty seq dd; do
  ln -s busybox "$root/bin/$applet"
done
# The loader and each library, at the path where the program looks for it.
ldd "$program" | grep -oE '/[^ ]+' | while read -r library; do
  install -D -m 0755 "$(readlink -f "$library")" "$root$library"
done
printf 'root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n' > "$root/etc/passwd"
printf 'root:x:0:\napp:x:1000:\n' > "$root/etc/group"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"

tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$root" -cf "$work/layer.tar" .
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
cat > "$work/config.json" <<JSON
{"architecture":"$(dpkg --print-architecture 2>/dev/null || uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')","os":"linux","created":"1970-01-01T00:00:00Z",
 "config":{"User":"1000:1000","Env":["PATH=/bin"],"Cmd":["/hello","web"],"WorkingDir":"/"},
 "rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
JSON
config=$(sha256sum "$work/config.json" | cut -d' ' -f1)
mkdir "$work/image"
mv "$work/layer.tar" "$work/image/$layer.tar"
mv "$work/config.json" "$work/image/$config.json"
printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["%s.tar"]}]\n' "$config" "$image" "$layer" > "$work/image/manifest.json"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/image" -cf "$out.partial" .
mv "$out.partial" "$out"
