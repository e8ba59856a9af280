fail() { echo "restore-runbook: $*" >&2; exit 1; }
sum() {
  case "$trailer" in
    yes) tail -c 32 -- "$snapshot" | od -An -v -tx1 | tr -cd 0-9a-f ;;
    *) sha256sum <"$snapshot" | head -c 64 ;;
  esac
}
flush() {
  case "$(sync --help)" in
    *--file-system*) sync -f "$staging" ;;
    *) sync ;; # before coreutils 8.24
  esac
}

# Neither profiles nor modules are written for set -eu, so it comes after them.
module load "$module" || fail "module load $module has failed"
case ":${LOADEDMODULES-}:" in
  *":$module:"*) ;;
  *) fail "module load $module has loaded nothing" ;;
esac
set -eu -o pipefail
umask 077

if test -L "$staging"; then fail "$staging is a symbolic link"; fi
if test -e "$staging/complete"; then flush; exit 0; fi
rm -rf --one-file-system -- "$staging"
mkdir -- "$staging"
exec >"$staging/log" 2>&1

test "$(sum)" = "$sha256" || fail "$snapshot is not the one with $sha256"
"${restore[@]}"
test "$(sum)" = "$sha256" || fail "$snapshot was replaced while it was being restored"

db=$staging/data/member/snap/db
for part in "$db" "$staging"/data/member/wal/*.wal "$staging"/data/member/snap/*.snap; do
  test -s "$part" || fail "$part is missing or empty"
done
# The same content may lie differently in the file, as the commits of etcd go by its clock.
content=$("${restore[@]:0:2}" status "$db" --write-out simple | cut -d , -f 1-3)
case "$content" in *,*,*) ;; *) fail "no status of $db: $content" ;; esac
flush
digest=$(sha256sum <"$db")
{
  echo "${digest%% *}"
  echo "$content"
} >"$staging/complete.part"
flush
mv -T -- "$staging/complete.part" "$staging/complete"
flush || { rm -f -- "$staging/complete"; fail "$staging could not be synced"; }
