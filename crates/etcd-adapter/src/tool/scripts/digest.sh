set -eu
if test -f "$1"; then
  digest=$(sha256sum <"$1")
  echo "Digest=${digest%% *}"
else
  echo Digest=none
fi
