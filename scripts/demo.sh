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

bold() { printf '\n\033[1m%s\033[0m\n' "$*"; }
typed() { printf '\n\033[1mhead#\033[0m %s\n' "$*"; }
on_head() { "$lab" shell --lab "$dir" -- bash -lc "$*"; }
run() { typed "$*"; on_head "$*"; }
on_node() { on_head "ssh $1 bash -lc '\"module load etcd; $2\"'"; }

tidy_up() {
  local status=$?
  trap - EXIT INT TERM
  [ -z "$dir" ] || "$lab" down --lab "$dir" || true
  exit "$status"
}
trap tidy_up EXIT INT TERM

# Every key with its value, in order, on one member.
contents() { on_node "$1" 'ETCDCTL_API=3 etcdctl get --prefix \\\"\\\" --write-out=simple' | sha256sum | cut -d' ' -f1; }
count() { on_node "$1" 'ETCDCTL_API=3 etcdctl get --prefix \\\"\\\" --keys-only' | grep -c . || true; }
hashkv() { on_node node001 'ETCDCTL_API=3 etcdctl endpoint hashkv --cluster'; }

bold "A lab: three nodes with real systemd, sshd, environment modules and etcd, and $keys keys"
dir=$("$lab" up --keep --keys "$keys" | head -n 1 | cut -d: -f1)
snapshot=/cm/shared/backup/etcd/etcd-node001-$(date +%Y%m%d%H%M%S)
typed "ssh node001    # the article, steps 3 to 5"
on_node node001 'etcdctl endpoint health --cluster' 2>&1
on_node node001 "mkdir -p /cm/shared/backup/etcd && etcdctl snapshot save $snapshot" 2>&1 | tail -n 1
before_count=$(count node001)
before=$(contents node001)
before_hash=$(hashkv)
echo "$before_count keys, contents $before"
echo "$before_hash"

bold "The disaster: all three nodes lose their power, and their disks"
for node in node001 node002 node003; do "$lab" hook "$dir" power-fail $node; done
for node in node001 node002 node003; do "$lab" hook "$dir" wipe $node; done
until [ "$(on_head 'cmsh -n --color=no -c "device; status"' | grep -c DOWN)" = 3 ]; do sleep 0.2; done
run 'cmsh -n --color=no -c "device; status"'

bold "restore-runbook"
typed "restore-runbook discover --snapshot $snapshot > spec.yaml    # then edited: reprovision: yes"
on_head "restore-runbook discover --snapshot $snapshot > /root/spec.yaml && sed -i 's/reprovision: no/reprovision: yes/' /root/spec.yaml && sed -i 's/poll_s: .*/poll_s: 1/' /root/spec.yaml"
on_head 'grep -v "^ *#" /root/spec.yaml'
run 'restore-runbook plan --spec spec.yaml --out plan.json'
digest=sha256:$(on_head 'sha256sum /root/plan.json' | cut -d' ' -f1)
run "restore-runbook run --plan plan.json --approve $digest"

bold "What was lost, what came back"
after_count=$(count node002)
echo "lost:      3 of 3 disks, 3 of 3 members, $before_count keys"
echo "came back: $after_count keys"
failed=0
for node in node001 node002 node003; do
  after=$(contents $node)
  if [ "$after" = "$before" ]; then echo "$node:   every key and value as before ($after)"; else echo "$node:   DIFFERENT ($after)"; failed=1; fi
done
echo "HashKV before:"; echo "$before_hash"
echo "HashKV after:";  hashkv
run 'restore-runbook status --all'
exit $failed
