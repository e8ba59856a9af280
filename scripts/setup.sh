#!/usr/bin/env bash
# Makes a bare Debian 12 machine ready to build the project and to run its lab.
#
#   scripts/setup.sh            install what is missing, check the rest (run as root)
#   scripts/setup.sh --check    change nothing, say what is missing
#
# Safe to run again: with nothing to do it ends well under a second. Installed services are neither
# started nor left enabled.
set -euo pipefail

readonly RUST_MIN=1.89
readonly RUST_INSTALL=stable
readonly POLICY=/usr/sbin/policy-rc.d
readonly PACKAGES=(
  # the lab: nodes and the head node
  etcd-server etcd-client openssh-server openssh-client environment-modules systemd-container
  systemd iproute2 openssl util-linux procps
  # the build: etcd-client generates code with protoc and needs the well-known types
  gcc libc6-dev make pkg-config protobuf-compiler libprotobuf-dev
  # the rest: fetching, reading
  git curl ca-certificates jq
)

check_only=no
say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf 'setup: help: %s\n' "$2" >&2; exit 1; }

check_machine() {
  [ "$(id -u)" -eq 0 ] || die "must run as root (mounts, network namespaces, packages)" "sudo $0"
  command -v apt-get >/dev/null || die "no apt-get: this is for Debian 12" "run it in a Debian 12 machine or container"
  local id='' version=''
  if [ -r /etc/os-release ]; then
    id=$(. /etc/os-release; echo "${ID:-}"); version=$(. /etc/os-release; echo "${VERSION_ID:-}")
  fi
  [ "$id$version" = debian12 ] || say "warning: tried on Debian 12 only, this is ${id:-unknown} ${version:-}"
}

missing_packages() {
  local have
  have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${PACKAGES[@]}" 2>/dev/null || true)
  local p
  for p in "${PACKAGES[@]}"; do
    grep -qx "installed $p" <<<"$have" || echo "$p"
  done
}

# While packages are being installed no service may start; afterwards the file is what it was before.
hold_services() {
  policy_backup=''
  if [ -e "$POLICY" ]; then
    policy_backup=$(mktemp)
    cp -a "$POLICY" "$policy_backup"
  fi
  trap release_services EXIT
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
}
release_services() {
  trap - EXIT
  if [ -n "$policy_backup" ]; then
    cp -a "$policy_backup" "$POLICY"
    rm -f "$policy_backup"
  else
    rm -f "$POLICY"
  fi
}

# A service that came with a package we brought must not start at the next boot of this machine either.
disable_new_services() {
  local p unit
  for p in "$@"; do
    case $p in
      etcd-server) unit=etcd.service ;;
      openssh-server) unit=ssh.service ;;
      *) continue ;;
    esac
    systemctl --quiet disable "$unit" 2>/dev/null || say "warning: could not disable $unit at boot"
  done
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  [ $check_only = no ] || die "packages missing: ${missing[*]}" "$0"
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Package lists are fetched only where they are absent or do not lead to the packages any more.
  apt-get install -y -qq --no-install-recommends --download-only "${missing[@]}" >/dev/null 2>&1 ||
    apt-get update -qq || die "apt-get update failed" "check the network and /etc/apt"
  hold_services
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get install failed" "see the messages above; run it by hand: apt-get install ${missing[*]}"
  release_services
  disable_new_services "${missing[@]}"
}

find_cargo() {
  command -v cargo || { [ -x "$HOME/.cargo/bin/cargo" ] && echo "$HOME/.cargo/bin/cargo"; } || true
}

check_rust() {
  local cargo version
  cargo=$(find_cargo)
  if [ -n "$cargo" ]; then
    version=$("$cargo" --version | cut -d' ' -f2)
    if printf '%s\n%s\n' "$RUST_MIN" "$version" | sort -V -C; then return 0; fi
    say "cargo $version at $cargo is older than $RUST_MIN"
  else
    say "no cargo found"
  fi
  [ $check_only = no ] || die "cargo >= $RUST_MIN is missing" "$0"
  say "installing the $RUST_INSTALL Rust toolchain with rustup (https://rustup.rs)"
  if command -v rustup >/dev/null; then
    rustup toolchain install --profile minimal --component clippy --component rustfmt "$RUST_INSTALL"
    rustup default "$RUST_INSTALL"
  else
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
      sh -s -- -y --profile minimal --component clippy --component rustfmt --default-toolchain "$RUST_INSTALL"
  fi || die "rustup failed" "install Rust >= $RUST_MIN by hand, then run $0 again"
  say "done; in this shell: . \"\$HOME/.cargo/env\""
}

check_kernel() {
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || true
  grep -qw overlay /proc/filesystems ||
    die "the kernel has no overlayfs: nodes could not have a disk of their own" "modprobe overlay, or another kernel"
  [ -e /proc/self/ns/net ] || die "the kernel has no network namespaces" "use a kernel with CONFIG_NET_NS"
  grep -q ' - cgroup2 ' /proc/self/mountinfo ||
    die "no cgroup v2 hierarchy is mounted" "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified"
  local cg
  cg=$(awk '/ - cgroup2 /{print $5; exit}' /proc/self/mountinfo)
  [ -w "$cg" ] || die "cgroup v2 at $cg is not writable" "in a container: run it privileged, with its own cgroup namespace"
  unshare --mount --net --uts true 2>/dev/null ||
    die "cannot make mount, network and uts namespaces" "needs CAP_SYS_ADMIN; in a container: run it privileged"
  unshare --mount --net sh -c 'ip link add setup0 type bridge && ip link add setup1 type veth peer name setup2' 2>/dev/null ||
    die "cannot make a bridge or a veth pair in a network namespace" "modprobe bridge veth, or another kernel"
}

main() {
  case ${1:-} in
    '') ;;
    --check) check_only=yes ;;
    *) die "unknown argument $1" "$0 [--check]" ;;
  esac
  check_machine
  install_packages
  check_kernel
  check_rust
  say "ready"
}
main "$@"
