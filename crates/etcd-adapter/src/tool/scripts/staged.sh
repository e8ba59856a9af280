set -eu
unit=$1 staging=$2
# The unit first: what it leaves behind is looked at only once it has ended.
state=$(systemctl show --property=ActiveState --property=Result "$unit")
echo "$state"
if test -L "$staging"; then
  echo Tree=partial # nothing of ours: the restore refuses it and says so
elif test -f "$staging/complete"; then
  {
    read -r digest
    read -r content
  } <"$staging/complete" || true
  echo "Digest=${digest:0:80}"
  echo "Content=${content:0:80}"
  if test -e "$staging/data"; then echo Tree=complete; else echo Tree=taken; fi
elif test -e "$staging"; then
  echo Tree=partial
else
  echo Tree=nothing
fi
case "$state" in
  *ActiveState=failed*)
    echo Log=
    if test ! -L "$staging" && test -s "$staging/log"; then
      tail -c 2000 -- "$staging/log"
    else
      journalctl --unit="$unit" --lines=10 --output=cat --no-pager || true
    fi
    ;;
esac
