# SPDX-License-Identifier: Apache-2.0
# For the bats files here: a scenario is a test.

scenario() {
	run "${BATS_TEST_DIRNAME}/scenarios.py" "$@"
	[ "$status" -ne 77 ] || skip "${lines[-1]}"
	echo "$output"
	[ "$status" -eq 0 ]
}
