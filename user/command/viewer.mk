# SPDX-License-Identifier: Apache-2.0
# `make viewer`: what `vizbpf view --offline` serves and .html files carry. It is speedscope (MIT)
# as its authors publish it on the npm registry; nothing of it is part of this repository.
# `make install` makes it too, and does without where that cannot be: vizbpf then has a page of
# its own for both.

SPEEDSCOPE := 1.25.0
SPEEDSCOPE_SHA256 := 2831f1e0d26df914b477e522d78b8485511495a6af81a0b88158f8b48f9e0d03

viewer: $(BUILD)/viewer/index.html

$(BUILD)/viewer/index.html:
	$(call say,VIEWER,speedscope-$(SPEEDSCOPE))
	$(Q)command -v npm >/dev/null || { \
		echo "make viewer: npm is not installed (apt-get install npm)" >&2; exit 1; }
	$(Q)rm -rf $(BUILD)/viewer $(BUILD)/viewer.tmp && mkdir -p $(BUILD)/viewer.tmp
	$(Q)cd $(BUILD)/viewer.tmp && npm pack --silent speedscope@$(SPEEDSCOPE) >/dev/null
	$(Q)cd $(BUILD)/viewer.tmp && \
		echo "$(SPEEDSCOPE_SHA256)  speedscope-$(SPEEDSCOPE).tgz" | sha256sum --quiet -c -
	$(Q)tar -xzf $(BUILD)/viewer.tmp/speedscope-$(SPEEDSCOPE).tgz -C $(BUILD)/viewer.tmp
	$(Q)cp $(BUILD)/viewer.tmp/package/LICENSE \
		$(BUILD)/viewer.tmp/package/dist/release/LICENSE-speedscope 2>/dev/null; \
		rm -f $(BUILD)/viewer.tmp/package/dist/release/perf-vertx*
	$(Q)mv $(BUILD)/viewer.tmp/package/dist/release $(BUILD)/viewer && rm -rf $(BUILD)/viewer.tmp

install: install-viewer

install-viewer: all
	$(Q)$(MAKE) --no-print-directory viewer || \
		echo "vizbpf: the viewer speedscope is not installed; view --offline and .html use" \
		     "vizbpf's own page"
	$(Q)if [ -f $(BUILD)/viewer/index.html ]; then \
		install -d $(DESTDIR)$(PREFIX)/share/vizbpf/viewer && \
		install -m 644 $(BUILD)/viewer/* $(DESTDIR)$(PREFIX)/share/vizbpf/viewer; \
	fi

.PHONY: viewer install-viewer
