#!/usr/bin/env bash
# Are the tests worth their name? Each patch in tests/mutants takes one safeguard away; the tests that its
# first line names have to fail then, and to pass without it. A patch that does not apply any more is a failure
# too, and so are tests that are not there, and mutants that do not compile.
#
#   scripts/mutants.sh [NAME…]
set -euo pipefail
cd "$(dirname "$0")/.."

tree=target/mutants/tree
export CARGO_TARGET_DIR=$PWD/target/mutants/build CARGO_PROFILE_DEV_DEBUG=0
mkdir -p "$tree"

# Only what differs gets a new time, and is built again; also what an earlier run had left mutated.
git ls-files -z | while IFS= read -r -d '' file; do
  cmp --quiet "$file" "$tree/$file" || cp --parents --target-directory="$tree" "$file"
done

# $1: the log; the rest: what `cargo test` is asked for. Prints passed, failed, or broken.
tests_come_out() {
  if (cd "$tree" && cargo test "${@:2}") >"$1" 2>&1; then
    grep --quiet '^test result: ok. [1-9]' "$1" && echo passed || echo broken
  else
    grep --quiet '^test result: FAILED' "$1" && echo failed || echo broken
  fi
}

declare -A unmutated
survived=0
patches=("${@/#/tests/mutants/}")
[ $# -gt 0 ] || patches=(tests/mutants/*.patch)
for patch in "${patches[@]}"; do
  patch=${patch%.patch}.patch
  name=$(basename "$patch" .patch)
  tests=$(sed -n '1s/^killed by: //p' "$patch")
  log=target/mutants/$name.log
  # shellcheck disable=SC2206 # the arguments are several words
  words=($tests)
  : "${unmutated[$tests]:=$(tests_come_out "$log" "${words[@]}")}"
  if [ "${unmutated[$tests]}" != passed ]; then
    echo "BROKEN   $name: without it too, $tests: ${unmutated[$tests]}, see $log"
    survived=1
    continue
  fi
  if ! patch --quiet --directory "$tree" --strip 1 <"$patch"; then
    echo "$name: does not apply any more"
    exit 1
  fi
  came=$(tests_come_out "$log" "${words[@]}")
  case $came in
    passed) echo "SURVIVED $name: $tests" ;;
    failed) echo "killed   $name: $tests" ;;
    broken) echo "BROKEN   $name: no test has failed, see $log" ;;
  esac
  [ "$came" = failed ] || survived=1
  patch --quiet --reverse --directory "$tree" --strip 1 <"$patch"
done
exit $survived
