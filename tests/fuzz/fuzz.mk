# SPDX-License-Identifier: Apache-2.0
# make fuzz            every fuzzer of tests/fuzz for FUZZ_SECONDS each
# make fuzz-NAME       one of them, e.g. fuzz-maps
#
# A fuzzer names the sources it needs after `Build:` in its first comment. Its seeds are in
# tests/fuzz/corpus/NAME, and what it finds is kept in $(BUILD)/fuzz/corpus/NAME. Seeds that
# are ELF files are compiled from tests/fuzz/corpus/NAME/*.c.

FUZZ_SECONDS ?= 60
FUZZ_FLAGS := -std=gnu11 -g -O1 -D_GNU_SOURCE -DVIZ_VERSION='"fuzz"' -DVIZ_PREFIX='"/usr/local"' \
	-Iuser -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
FUZZERS := $(wildcard tests/fuzz/*.c)
fuzz_name = $(patsubst %_fuzz,%,$(patsubst fuzz_%,%,$(basename $(notdir $(1)))))
fuzz_sources = $(shell sed -n '/Build:/,/\*\//p' $(1) | grep -o '\(user\|ext\)/[a-z0-9_/]*\.c')

define fuzz_rules
$$(BUILD)/fuzz/$(call fuzz_name,$(1)): $(1) $(call fuzz_sources,$(1))
	$$(call say,FUZZ,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(CLANG) $$(FUZZ_FLAGS) -o $$@ $(1) $(call fuzz_sources,$(1)) \
		$$(shell $$(PKG_CONFIG) --libs libelf capstone json-c zlib) -lm

fuzz-$(call fuzz_name,$(1)): $$(BUILD)/fuzz/$(call fuzz_name,$(1))
	$$(Q)tests/fuzz/run $$< tests/fuzz/corpus/$(call fuzz_name,$(1)) \
		$$(BUILD)/fuzz/corpus/$(call fuzz_name,$(1)) $$(FUZZ_SECONDS)

fuzz: fuzz-$(call fuzz_name,$(1))
.PHONY: fuzz-$(call fuzz_name,$(1))
endef

$(foreach fuzzer,$(FUZZERS),$(eval $(call fuzz_rules,$(fuzzer))))

.PHONY: fuzz
