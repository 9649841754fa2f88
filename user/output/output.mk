# SPDX-License-Identifier: Apache-2.0
# What the writers are made of besides C: Perfetto's packets, from the field numbers that we
# use, the page of the .html format and the script of the .svg format.

PERFETTO := $(BUILD)/user/output/perfetto.pb-c
HTML_TEMPLATE := $(BUILD)/user/output/html_template.h
SVG_SCRIPT := $(BUILD)/user/output/svg_script.h

GENERATED += $(PERFETTO).h $(HTML_TEMPLATE) $(SVG_SCRIPT)
OBJECTS += $(PERFETTO).o

$(PERFETTO).h: user/output/perfetto.proto
	$(call say,PROTO,$@)
	$(Q)mkdir -p $(@D)
	$(Q)protoc-c --proto_path=user/output --c_out=$(BUILD)/user/output $<

$(PERFETTO).c: $(PERFETTO).h

$(PERFETTO).o: $(PERFETTO).c $(PERFETTO).h
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# A text as a C string of the file's name, a line of it on each line.
text_to_c = mkdir -p $(@D) && { \
	echo '/* made from $< */'; \
	echo 'static const char $(notdir $(basename $@))[] ='; \
	sed -e 's/[\\"]/\\&/g' -e 's/??/?\\?/g' -e 's/^/\t"/' -e 's/$$/\\n"/' $<; \
	echo ';'; } > $@

$(HTML_TEMPLATE): user/output/html_template.html
	$(call say,TEXT,$@)
	$(Q)$(text_to_c)

$(SVG_SCRIPT): user/output/svg_script.js
	$(call say,TEXT,$@)
	$(Q)$(text_to_c)

# What each format costs: bench/outputs.
bench-outputs: $(BUILD)/bench/micro_formatter
	$(Q)BUILD=$(BUILD) bench/outputs

.PHONY: bench-outputs
