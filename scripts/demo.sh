#!/usr/bin/env bash
# The main job, shown: a three-node etcd under a cluster manager loses every disk, and restore-runbook
# brings it back. Everything here is what an admin would type, on the head node of a lab.
#
#   scripts/demo.sh DIRECTORY-OF-PROGRAMS [KEYS]
set -euo pipefail

programs=${1:?directory of the built programs}
keys=${2:-20000}
lab=$programs/lab
dir=''
log=''

bold() { printf '\n\033[1m%s\033[0m\n' "$*"; }
typed() { printf '\n\033[1mhead#\033[0m %s\n' "$*"; }
on_head() { "$lab" shell --lab "$dir" -- bash -lc "$*"; }
run() { typed "$*"; on_head "$*"; }
# In a login shell of a node, as the article has it: `module` exists in no other.
on_node() { printf 'module load etcd\n%s\n' "$2" | "$lab" shell --lab "$dir" -- ssh "$1" bash -ls; }

tidy_up() {
  local status=$?
  trap - EXIT INT TERM
  rm -f "$log"
  [ -z "$dir" ] || "$lab" down --lab "$dir" || true
  exit "$status"
}
trap tidy_up EXIT INT TERM

# Every key with its value, in order, on one member.
contents() { on_node "$1" 'etcdctl get "" --prefix' | sha256sum | cut -d' ' -f1; }
count() { on_node "$1" 'etcdctl get "" --prefix --keys-only' | grep -c . || true; }
hashkv() { on_node node001 "etcdctl endpoint hashkv --cluster ${1:+--rev $1}" | sort; }

bold "A lab: three nodes with real systemd, sshd, environment modules and etcd, and $keys keys"
dir=$("$lab" up --keep --keys "$keys" | head -n 1 | cut -d: -f1)
snapshot=/cm/shared/backup/etcd/etcd-node001-$(date +%Y%m%d%H%M%S)
typed "ssh node001    # the article, steps 3 to 5"
on_node node001 'etcdctl endpoint health --cluster' 2>&1
on_node node001 "mkdir -p /cm/shared/backup/etcd && etcdctl snapshot save $snapshot" 2>&1 | tail -n 1
version=$(on_node node001 'etcdctl version' | sed -n 's/^etcdctl version: //p')
before_count=$(count node001)
before=$(contents node001)
before_hash=$(hashkv)
echo "$before_count keys, contents $before"
echo "$before_hash"

bold "The disaster: all three nodes lose their power, and their disks"
for node in node001 node002 node003; do "$lab" hook "$dir" power-fail $node; done
for node in node001 node002 node003; do "$lab" hook "$dir" wipe $node; done
until [ "$(on_head 'cmsh -n --color=no --hide-events -c "device; status"' | grep -c DOWN)" = 3 ]; do sleep 0.2; done
run 'cmsh -n --color=no --hide-events -c "device; status"'

bold "restore-runbook"
typed "restore-runbook discover --snapshot $snapshot > spec.yaml    # then edited: reprovision: yes, and the module"
on_head "restore-runbook discover --snapshot $snapshot > /root/spec.yaml && sed -i 's/reprovision: no.*/reprovision: yes/; s/^# deadlines:.*/deadlines: {poll_s: 1}/; s|^# module:.*|module: etcd/kube-default/$version|' /root/spec.yaml"
on_head 'grep -v "^ *#" /root/spec.yaml'
run 'restore-runbook plan --spec spec.yaml --out plan.json'
digest=sha256:$(on_head 'sha256sum /root/plan.json' | cut -d' ' -f1)
typed "restore-runbook run --plan plan.json --approve $digest"
log=$(mktemp)
on_head "restore-runbook run --plan plan.json --approve $digest" 2>&1 | tee "$log"

bold "What was lost, what came back"
after_count=$(count node002)
echo "lost:      3 of 3 disks, 3 of 3 members, $before_count keys"
echo "came back: $after_count keys"
failed=0
for node in node001 node002 node003; do
  after=$(contents $node)
  if [ "$after" = "$before" ]; then echo "$node:   every key and value as before ($after)"; else echo "$node:   DIFFERENT ($after)"; failed=1; fi
done
revision=$(on_head 'jq .world.snapshot.content.revision /root/plan.json')
after_hash=$(hashkv "$revision")
echo "HashKV at revision $revision, the snapshot's:"
echo "$after_hash"
if [ "$after_hash" = "$before_hash" ]; then echo "           as before, on every member"; else echo "           DIFFERENT from before"; failed=1; fi
echo "how long:"
grep -E '^ *[a-z-]+ +done after ' "$log"
run 'restore-runbook status --all'
exit $failed
