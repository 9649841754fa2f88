# SPDX-License-Identifier: Apache-2.0
# make bench [BENCH_QUICK=1] [BENCH="--python FILE --only PROGRAM ..."]: what tracing costs.
BENCH_PEERS := $(or $(VIZBPF_CACHE),/var/cache/vizbpf)/peers
BENCH_PYTHON ?= /usr/bin/python3
BENCH_RUN = BUILD=$(abspath $(BUILD)) BENCH_QUICK=$(BENCH_QUICK)
# All of vizbpf but its main().
BENCH_OBJECTS = $(filter-out $(BUILD)/user/main.o,$(OBJECTS))

$(BUILD)/bench/micro_%: bench/micro_%.c $(BUILD)/vizbpf
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(BENCH_OBJECTS) $(LDLIBS)

bench: $(BUILD)/vizbpf $(BUILD)/bench/micro_formatter $(BUILD)/bench/micro_backlog
	$(Q)$(BENCH_RUN) bench/run --python $(BENCH_PYTHON) $(BENCH)

# docs/benchmarks.md from the last run.
bench-update:
	$(Q)$(BENCH_RUN) bench/report.py --markdown > docs/benchmarks.md.tmp
	$(Q)mv docs/benchmarks.md.tmp docs/benchmarks.md

# Fails when a ratio of bench/expect.json does not hold in the last run.
bench-check:
	$(Q)$(BENCH_RUN) bench/check

# The tools that vizbpf is compared with, and the extension when `make ext` has built it. An
# environment for each interpreter: that of BENCH_PYTHON has everything, the others VizTracer, and
# are what the figure "added by interpreter" is about.
BENCH_OTHERS ?= $(wildcard $(addsuffix /bin/python3,$(addprefix $(HOME)/.pyenv/versions/,3.9.* 3.1?.*)))
bench-peers:
	$(Q)tests/install-packages extra
	$(Q)bench/make-peers $(BENCH_PEERS) "$$(ls -t $(BUILD)/ext/*.whl 2>/dev/null | head -1)" \
		$(BENCH_PYTHON) $(BENCH_OTHERS)

.PHONY: bench bench-update bench-check bench-peers
