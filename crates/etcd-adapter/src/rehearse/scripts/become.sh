module load "$1" >&2 || { echo "module load $1 has failed" >&2; exit 1; }
# etcd refuses a variable beside a flag of the same meaning.
unset "${!ETCD_@}"
shift
exec "$@"
