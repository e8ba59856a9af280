set -eu
unit=$1 staging=$2 script=$3
state=$(systemctl show --property=ActiveState "$unit")
case "${state#ActiveState=}" in
  inactive) if test ! -L "$staging" && test -e "$staging/complete"; then exit 0; fi ;;
  failed) systemctl reset-failed "$unit" ;;
  active | activating | deactivating | reloading) exit 0 ;;
  *) echo "restore-runbook: systemd says $state of $unit" >&2; exit 1 ;;
esac
# systemd expands dollar signs in a command line; two of them are a plain one.
dollar="$"
script=${script//$dollar/$dollar$dollar}
exec systemd-run --unit="$unit" --description="$unit" /bin/bash -lc "$script"
