say() { echo "restore-runbook:$1=$2"; }
module load "$1" >&2 || { echo "module load $1 has failed" >&2; exit 1; }
say loaded "${LOADEDMODULES-}"
say etcd "$(etcd --version 2>/dev/null | head -n 1)"
say etcdctl "$(ETCDCTL_API=3 etcdctl version 2>/dev/null | head -n 1)"
say etcdutl "$(etcdutl version 2>/dev/null | head -n 1)"
