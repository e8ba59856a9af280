#!/bin/sh
# A hook for tests: a node is a few files in the directory given first.
dir=$1
shift
echo "$*" >> "$dir/calls"
node=$2
case $1 in
power-on) touch "$dir/on.$node" ;;
power-off) rm -f "$dir/on.$node" "$dir/etcd.$node" ;;
wipe)
    test ! -e "$dir/on.$node" && test ! -e "$dir/stuck.$node" || exit 1
    rm -f "$dir/data.$node"
    ;;
api-server) true ;;
ssh-ok) test -e "$dir/on.$node" && test ! -e "$dir/deaf.$node" ;;
pingable) test -e "$dir/on.$node" ;;
provisioned | role) true ;;
service)
    case $3 in
    start)
        # As etcd does: without data it starts as a new, empty one.
        test -e "$dir/broken.$node" && exit 1
        test -e "$dir/data.$node" || echo empty > "$dir/data.$node"
        echo "$STANDIN_INITIAL_CLUSTER" > "$dir/initial.$node"
        touch "$dir/etcd.$node"
        ;;
    stop) rm -f "$dir/etcd.$node" ;;
    status) test -e "$dir/etcd.$node" ;;
    esac
    ;;
*) exit 64 ;;
esac
