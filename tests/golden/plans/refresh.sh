#!/bin/sh
# refresh.sh TEST_PLANS: records the plans of all specs anew, with the program of the test itself.
# A plan changes only in a commit that says so.
set -eu
program=$(realpath "$1")
cd "$(dirname "$0")/../../.."
rm -f tests/golden/plans/*.txt
HI_RECORD=1 "$program"
