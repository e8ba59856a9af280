type module >/dev/null 2>&1 || { echo "there is no module command in a login shell" >&2; exit 1; }
module -t avail etcd 2>&1 | while read -r line; do echo "restore-runbook:avail=$line"; done
