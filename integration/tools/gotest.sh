#!/bin/sh
# Runs every test and prints test2json events, for gotestsum: one summary over
# all parts. The packages' own tests run with the race detector (RACE); those in
# integration/ drive programs that were built as they ship; those of VLANs run in
# a virtual machine where this kernel has none.
status=0
# shellcheck disable=SC2086 # the lists are meant to be split
"$GO" test -json -count=1 $RACE -shuffle=on $UNIT || status=1
# shellcheck disable=SC2086
"$GO" test -json -count=1 -timeout=40m $INTEGRATION || status=1
# shellcheck disable=SC2086
"$GO" run ./integration/vm/vlantests -go "$GO" -where "$VLAN_WHERE" $VLAN_PACKAGES || status=1
exit $status
