# SPDX-License-Identifier: Apache-2.0
# vizbpf: `make` builds build/vizbpf; `make demo` and `make test` also install what they need.
#
# V=1 shows the commands; PREFIX= and DESTDIR= as everywhere.

PREFIX ?= /usr/local
DESTDIR ?=
BUILD := build
CLANG ?= clang
BPFTOOL ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
CC ?= gcc
PKG_CONFIG ?= pkg-config
VERSION := 0.1.0
ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')

PACKAGES := libbpf libelf json-c zlib libdeflate capstone libprotobuf-c
CFLAGS ?= -O2 -g
CPPFLAGS += -D_GNU_SOURCE -DVIZ_VERSION='"$(VERSION)"' -DVIZ_PREFIX='"$(PREFIX)"' -I$(BUILD) -Iuser
CFLAGS += -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -fno-strict-aliasing
BPF_CFLAGS := -O2 -g -target bpf -D__TARGET_ARCH_$(ARCH) -Ivmlinux -Ibpf -Wall -Wextra -Wno-unused-parameter

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s%s\n' $(1) $(2))

SOURCES := $(wildcard user/*.c user/*/*.c)
OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o)
# Those that define maps come first: libbpf 1.1's linker places an extern map wrongly when its
# definition comes later.
BPF_DEFINERS := bpf/calls.bpf.c bpf/select.bpf.c
BPF_SOURCES := $(BPF_DEFINERS) $(filter-out $(BPF_DEFINERS),$(wildcard bpf/*.bpf.c))
BPF_HEADERS := $(wildcard bpf/*.h vmlinux/*.h)
SKELETON := $(BUILD)/vizbpf.skel.h

all: $(BUILD)/vizbpf

# Parts with build rules of their own add to OBJECTS, GENERATED and LDLIBS.
GENERATED := $(SKELETON)
LDLIBS = $(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lm -lpthread
-include $(wildcard user/*/*.mk tests/*/*.mk ext/*.mk bench/*.mk)

$(BUILD)/vizbpf: $(OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(OBJECTS) $(LDLIBS)

$(BUILD)/user/%.o: user/%.c | $(GENERATED)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c $(BPF_HEADERS)
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

$(BUILD)/vizbpf.bpf.o: $(BPF_SOURCES:%.c=$(BUILD)/%.o)
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(SKELETON): $(BUILD)/vizbpf.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name vizbpf_bpf > $@.tmp && mv $@.tmp $@

-include $(OBJECTS:.o=.d)

# ---- for people ---------------------------------------------------------------------------

# Records a sample program for some seconds, live.
demo: packages-build packages-demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/demo/run $(BUILD)/vizbpf

# Everything that is quick: unit tests, command line, truth, safety.
test: packages-build packages-test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/run

# What takes longer: containers, the browser, the Python package, builds of other kinds.
test-slow: packages-build packages-test packages-extra
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/run --slow

# The safety tests on every interpreter of the machine, and often.
test-safety: packages-build packages-test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)VIZBPF=$(abspath $(BUILD))/vizbpf tests/safety/long

# Debian packages that are missing (needs root).
packages-%:
	$(Q)tests/install-packages $*

install: all
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/vizbpf \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/include
	$(Q)install -m 755 $(BUILD)/vizbpf $(DESTDIR)$(PREFIX)/bin/vizbpf
	$(Q)install -m 644 ext/vizbpf/include/vizbpf.h $(DESTDIR)$(PREFIX)/include/vizbpf.h
	$(Q)for page in $(wildcard docs/man/*.1); do \
		install -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man1/; done

# The Python package, from where `vizbpf script.py` without root takes it; left out where it
# cannot be built (no pip).
install: install-package
install-package: all
	$(Q)$(MAKE) --no-print-directory ext-install || \
		echo "vizbpf: the Python package is not installed: make ext says why"

uninstall:
	$(Q)rm -f $(DESTDIR)$(PREFIX)/bin/vizbpf $(DESTDIR)$(PREFIX)/include/vizbpf.h
	$(Q)rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/man/man1/,$(notdir $(wildcard docs/man/*.1)))
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/share/vizbpf $(DESTDIR)$(PREFIX)/lib/vizbpf

clean:
	$(Q)rm -rf $(BUILD)

.DELETE_ON_ERROR:
.PHONY: all demo test test-slow test-safety install install-package uninstall clean
