// SPDX-License-Identifier: Apache-2.0
#include "json.h"

/* Deeper documents are refused: readers recurse, and some of them on small stacks. */
#define MAX_DEPTH 64

#define ROW(t) t "0" t "1" t "2" t "3" t "4" t "5" t "6" t "7" t "8" t "9"
const char viz_json_digits[201] =
	ROW("0") ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6") ROW("7") ROW("8") ROW("9");

char *viz_json__escape(char *dst, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
			*dst++ = (char)c;
			continue;
		}
		*dst++ = '\\';
		switch (c) {
		case '"':
		case '\\':
			*dst++ = (char)c;
			break;
		case '\n':
			*dst++ = 'n';
			break;
		case '\t':
			*dst++ = 't';
			break;
		case '\r':
			*dst++ = 'r';
			break;
		default:
			memcpy(dst, "u00", 3);
			dst[3] = hex[c >> 4];
			dst[4] = hex[c & 15];
			dst += 5;
		}
	}
	return dst;
}

struct scan {
	const char *p, *end;
};

static void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool scan_hex4(struct scan *s)
{
	int i;

	for (i = 0; i < 4; i++, s->p++)
		if (s->p >= s->end || !memchr("0123456789abcdefABCDEF", *s->p, 22))
			return false;
	return true;
}

static bool scan_string(struct scan *s)
{
	if (s->p >= s->end || *s->p != '"')
		return false;
	for (s->p++; s->p < s->end; s->p++) {
		if ((unsigned char)*s->p < 0x20)
			return false;
		if (*s->p == '"') {
			s->p++;
			return true;
		}
		if (*s->p != '\\')
			continue;
		if (++s->p >= s->end)
			return false;
		if (*s->p == 'u') {
			s->p++;
			if (!scan_hex4(s))
				return false;
			s->p--;
		} else if (!memchr("\"\\/bfnrt", *s->p, 8)) {
			return false;
		}
	}
	return false;
}

static bool scan_digits(struct scan *s)
{
	const char *start = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > start;
}

static bool scan_number(struct scan *s)
{
	if (s->p < s->end && *s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0')
		s->p++;
	else if (!scan_digits(s))
		return false;
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (!scan_digits(s))
			return false;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		return scan_digits(s);
	}
	return true;
}

static bool scan_word(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len))
		return false;
	s->p += len;
	return true;
}

static bool scan_scalar(struct scan *s)
{
	switch (*s->p) {
	case '"':
		return scan_string(s);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		return scan_number(s);
	}
}

static bool scan_key(struct scan *s)
{
	skip_space(s);
	if (!scan_string(s))
		return false;
	skip_space(s);
	if (s->p >= s->end || *s->p++ != ':')
		return false;
	skip_space(s);
	return s->p < s->end;
}

/* After a value: closes what ends here. True when another value has to follow, or, with
 * @depth down to @floor, when everything is closed. */
static bool scan_after(struct scan *s, const char *open, int *depth, int floor)
{
	for (;;) {
		skip_space(s);
		if (*depth == floor && s->p >= s->end)
			return true;
		if (s->p >= s->end || !*depth)
			return false;
		if (*s->p == ',') {
			s->p++;
			if (open[*depth - 1] == '{')
				return scan_key(s);
			skip_space(s);
			return s->p < s->end;
		}
		if (*depth == floor || *s->p != open[*depth - 1] + 2) /* '}' is '{' + 2 */
			return false;
		s->p++;
		--*depth;
	}
}

/* Values from where @s stands until the depth is @floor again at the end of the text. */
static bool scan_values(struct scan *s, char *open, int depth, int floor)
{
	for (;;) {
		if (*s->p == '{' || *s->p == '[') {
			if (depth == MAX_DEPTH)
				return false;
			open[depth++] = *s->p++;
			skip_space(s);
			if (s->p < s->end && *s->p == open[depth - 1] + 2) {
				s->p++;
				depth--;
			} else if (open[depth - 1] == '{' ? scan_key(s) : s->p < s->end) {
				continue;
			} else {
				return false;
			}
		} else if (!scan_scalar(s)) {
			return false;
		}
		if (!scan_after(s, open, &depth, floor))
			return false;
		if (depth == floor && s->p >= s->end)
			return true;
	}
}

bool viz_json__is_object(const char *text, size_t len)
{
	struct scan s = {text, text + len};
	char open[MAX_DEPTH];

	skip_space(&s);
	return s.p < s.end && *s.p == '{' && scan_values(&s, open, 0, 0);
}

bool viz_json__is_members(const char *text, size_t len)
{
	struct scan s = {text, text + len};
	char open[MAX_DEPTH] = "{";

	return scan_key(&s) && scan_values(&s, open, 1, 1);
}
