# SPDX-License-Identifier: Apache-2.0
# The Python extension. `make ext` leaves a wheel in $(BUILD)/ext, `make ext-test` runs its
# tests on every interpreter at hand. EXT_PYTHON: who builds it (any CPython 3.8 or later).
EXT_PYTHON ?= python3
EXT_SOURCES := $(wildcard ext/src/*.[ch] ext/vizbpf/*.py ext/vizbpf/include/*.h) ext/setup.py \
	ext/pyproject.toml

ext: $(BUILD)/ext/.built

# Without a registry, the setuptools (before 70.1 with wheel) of EXT_PYTHON do.
$(BUILD)/ext/.built: $(EXT_SOURCES)
	$(call say,WHEEL,$(BUILD)/ext)
	$(Q)rm -rf $(BUILD)/ext && mkdir -p $(BUILD)/ext
	$(Q)$(EXT_PYTHON) -m pip wheel -q --no-deps -w $(BUILD)/ext ./ext || \
		$(EXT_PYTHON) -m pip wheel -q --no-deps --no-index --no-build-isolation -w $(BUILD)/ext ./ext
	$(Q)touch $@

ext-test:
	$(Q)VIZBPF=$(abspath $(BUILD)/vizbpf) tests/ext/run

# Where vizbpf finds it for programs that it starts without root (user/unprivileged.c).
ext-install: ext
	$(Q)install -d $(DESTDIR)$(PREFIX)/lib/vizbpf
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/lib/vizbpf/python
	$(Q)$(EXT_PYTHON) -m zipfile -e $(BUILD)/ext/*.whl $(DESTDIR)$(PREFIX)/lib/vizbpf/python

.PHONY: ext ext-test ext-install
