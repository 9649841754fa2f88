# SPDX-License-Identifier: Apache-2.0
# make soak: SOAK_SECONDS=3600 of attach, trace, detach, kill and restart, engines in turns.
soak: $(BUILD)/vizbpf
	$(Q)VIZBPF=$(abspath $(BUILD)/vizbpf) SOAK_SECONDS=$(or $(SOAK_SECONDS),3600) tests/soak/run

.PHONY: soak
