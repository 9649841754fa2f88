# SPDX-License-Identifier: Apache-2.0
# Perfetto's packets, from the field numbers that we use.

PERFETTO := $(BUILD)/user/output/perfetto.pb-c

GENERATED += $(PERFETTO).h
OBJECTS += $(PERFETTO).o

$(PERFETTO).h: user/output/perfetto.proto
	$(call say,PROTO,$@)
	$(Q)mkdir -p $(@D)
	$(Q)protoc-c --proto_path=user/output --c_out=$(BUILD)/user/output $<

$(PERFETTO).c: $(PERFETTO).h

$(PERFETTO).o: $(PERFETTO).c
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
