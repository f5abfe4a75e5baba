#!/bin/sh
# Builds the gateways that "banyan bench gateway --peers" measures:
#
#   sh bench/peers/gateways/build.sh DIR [caddy] [traefik] [lura]
#
# Without names all of them. The versions are those of docs/performance.md. With
# GOFLAGS=-p=1 and "nice -n 19" in front it disturbs others less; Traefik takes
# half an hour then.
set -eu

[ $# -gt 0 ] || { echo "usage: build.sh DIR [caddy] [traefik] [lura]" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
shift
[ $# -gt 0 ] || set -- caddy traefik lura

caddy() {
  GOBIN="$dir" go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9
}

# "go install" refuses Traefik, because its go.mod has replace directives; so it is
# built in a copy of the module, where it is the main one.
traefik() {
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  (cd "$tmp" && go mod init fetch >/dev/null 2>&1 && go mod download github.com/traefik/traefik/v3@v3.6.0)
  cp -r "$(go env GOMODCACHE)/github.com/traefik/traefik/v3@v3.6.0" "$tmp/src"
  chmod -R u+w "$tmp/src"
  # The web UI is embedded. A release of the module has the folder with one file.
  mkdir -p "$tmp/src/webui/static"
  [ -n "$(ls "$tmp/src/webui/static")" ] || echo none >"$tmp/src/webui/static/index.html"
  (cd "$tmp/src" && go build -buildvcs=false -o "$dir/traefik" ./cmd/traefik)
}

lura() {
  (cd "$here" && go build -buildvcs=false -o "$dir/lura" ./lura)
}

for name in "$@"; do
  case $name in
    caddy | traefik | lura) echo "$name"; "$name" ;;
    *) echo "build.sh: no such gateway: $name" >&2; exit 2 ;;
  esac
done
