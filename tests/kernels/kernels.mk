# SPDX-License-Identifier: Apache-2.0
# make test-kernels            boots Debian's kernels under emulation and runs vizbpf inside
# make test-kernels KERNELS="bullseye sid"   some of them
# make kernels-update          writes the table of README.md from the last full run
test-kernels: $(BUILD)/vizbpf
	$(Q)BUILD=$(BUILD) tests/kernels/run --vizbpf $(BUILD)/vizbpf $(KERNELS)

kernels-update:
	$(Q)BUILD=$(BUILD) tests/kernels/table --update

.PHONY: test-kernels kernels-update
