#!/usr/bin/env bash
# Are the tests worth their name? Each patch in tests/mutants takes one safeguard away; the tests that its
# first line names have to fail then. A patch that does not apply any more is a failure too.
#
#   scripts/mutants.sh [NAME…]
set -euo pipefail
cd "$(dirname "$0")/.."

tree=target/mutants/tree
export CARGO_TARGET_DIR=$PWD/target/mutants/build CARGO_PROFILE_DEV_DEBUG=0
mkdir -p "$tree"
git ls-files -z | xargs -0 cp --update --preserve=timestamps --parents --target-directory="$tree"

survived=0
patches=("${@/#/tests/mutants/}")
[ $# -gt 0 ] || patches=(tests/mutants/*.patch)
for patch in "${patches[@]}"; do
  patch=${patch%.patch}.patch
  name=$(basename "$patch" .patch)
  tests=$(sed -n '1s/^killed by: //p' "$patch")
  if ! patch --quiet --directory "$tree" --strip 1 <"$patch"; then
    echo "$name: does not apply any more"
    exit 1
  fi
  log=target/mutants/$name.log
  # shellcheck disable=SC2086 # the arguments are several words
  if (cd "$tree" && cargo test $tests) >"$log" 2>&1; then
    echo "SURVIVED $name: $tests"
    survived=1
  elif grep --quiet 'error: could not compile' "$log" && ! grep --quiet 'compile_fail' "$patch"; then
    echo "BROKEN   $name: it does not compile, see $log"
    survived=1
  else
    echo "killed   $name: $tests"
  fi
  patch --quiet --reverse --directory "$tree" --strip 1 <"$patch"
done
exit $survived
