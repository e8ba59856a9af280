#!/usr/bin/env bash
# Known holes in what is linked in (RustSec). The database lies on GitHub: where it cannot be fetched, and no
# earlier copy is here, nothing is checked. That fails no build, and never passes for a pass: the last line says
# what was done, here and at the end of `make test`, which reads it from the file named first.
#
#   scripts/advisories.sh RESULT CARGO-DENY
set -euo pipefail
result=$1 deny=$2
mkdir -p "$(dirname "$result")"
rm -f "$result"
tell() { echo "$*" | tee "$result"; }

if why=$(timeout 120 "$deny" --all-features fetch db 2>&1); then
  "$deny" --all-features check --hide-inclusion-graph advisories
  tell "advisories: checked, the database is of now"
elif compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/.git" >/dev/null; then
  "$deny" --all-features check --disable-fetch --hide-inclusion-graph advisories
  tell "advisories: WARNING: checked against an OLD copy, the database could not be fetched"
else
  echo "$why" | tail -n 1 >&2
  tell "advisories: WARNING: NOT CHECKED, the database could not be fetched; run \`make audit\` where GitHub can be reached"
fi
