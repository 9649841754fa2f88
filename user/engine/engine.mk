# SPDX-License-Identifier: Apache-2.0
# The recorder of engine trampoline: freestanding code, checked, flattened and embedded.
# REC_CC, REC_LD and so on build it for another architecture.

REC_DIR := user/engine/recorder
REC_OUT := $(BUILD)/$(REC_DIR)
REC_CC ?= $(CC)
REC_LD ?= ld
REC_OBJCOPY ?= objcopy
REC_NM ?= nm
REC_READELF ?= readelf
REC_MACHINE := $(shell $(REC_CC) -dumpmachine 2>/dev/null | cut -d- -f1)
# The interpreter's calls come in with everything the ABI says and no more: no vector
# registers, no red zone (a probe in our code may push), nothing that wants a loader.
REC_CFLAGS := -Os -std=gnu11 -ffreestanding -fPIE -fvisibility=hidden -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-unwind-tables -fno-jump-tables \
	-fno-tree-switch-conversion -fno-tree-loop-distribute-patterns -fno-strict-aliasing \
	-ffunction-sections -mgeneral-regs-only -Wall -Wextra -Wshadow
REC_CFLAGS += $(if $(filter x86_64,$(REC_MACHINE)),-mno-red-zone -fcf-protection=branch)
REC_CFLAGS += $(if $(filter aarch64,$(REC_MACHINE)),-mno-outline-atomics -mbranch-protection=bti)
REC_PARTS := loader room monitor monitor_more wrap
REC_HEADERS := $(wildcard $(REC_DIR)/*.h)
RECORDER := $(BUILD)/recorder_image.h

$(REC_OUT)/%.o: $(REC_DIR)/%.c $(REC_HEADERS)
	$(call say,REC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(REC_CC) $(REC_CFLAGS) -c -o $@ $<

$(REC_OUT)/loader.elf: $(REC_DIR)/loader.ld
$(REC_OUT)/room.elf: $(REC_DIR)/room.ld
$(REC_OUT)/monitor_more.o: $(REC_DIR)/monitor.c
$(REC_OUT)/monitor.elf $(REC_OUT)/monitor_more.elf $(REC_OUT)/wrap.elf: $(REC_DIR)/recorder.ld

$(REC_OUT)/%.elf: $(REC_OUT)/%.o $(REC_DIR)/check
	$(Q)$(REC_LD) -T $(filter %.ld,$^) --gc-sections --orphan-handling=error -z noexecstack --no-warn-rwx-segments \
		-o $@ $<
	$(Q)NM=$(REC_NM) READELF=$(REC_READELF) OBJDUMP=$(REC_OBJCOPY:objcopy=objdump) \
		$(REC_DIR)/check $@ $(REC_MACHINE)

$(REC_OUT)/%.bin: $(REC_OUT)/%.elf
	$(Q)$(REC_OBJCOPY) -O binary -j .image $< $@

$(RECORDER): $(REC_PARTS:%=$(REC_OUT)/%.bin) $(REC_DIR)/embed
	$(call say,EMBED,$@)
	$(Q)NM=$(REC_NM) $(REC_DIR)/embed $(REC_OUT) $(REC_PARTS) > $@.tmp && mv $@.tmp $@

GENERATED += $(RECORDER)
$(BUILD)/user/engine/trampoline_image.o: $(RECORDER)

recorder: $(RECORDER)
.PHONY: recorder
.SECONDARY: $(REC_PARTS:%=$(REC_OUT)/%.o) $(REC_PARTS:%=$(REC_OUT)/%.elf)

# The engine without the rest of vizbpf, for tests/trampoline/run.
TRAMPOLINE_DRIVER := $(BUILD)/tests/trampoline-driver
TRAMPOLINE_PARTS := $(filter-out %_engine.c %_sink.c,$(wildcard user/engine/trampoline*.c)) \
	$(wildcard user/target/*.c user/guardian*.c) user/base/log.c user/identity.c user/output/scratch.c

$(TRAMPOLINE_DRIVER): tests/trampoline/driver.c $(TRAMPOLINE_PARTS:%.c=$(BUILD)/%.o)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

trampoline-driver: $(TRAMPOLINE_DRIVER)
.PHONY: trampoline-driver
