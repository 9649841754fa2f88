// SPDX-License-Identifier: Apache-2.0
#include "process_name.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "procfs.h"

struct words {
	const char *next, *end;
};

/* The next argument (NUL terminated inside the buffer), or NULL. */
static const char *words__next(struct words *w)
{
	const char *word = w->next;

	if (word >= w->end)
		return NULL;
	w->next = word + strlen(word) + 1;
	return word;
}

static const char *base_name(const char *path)
{
	size_t len = strlen(path);
	const char *slash;

	while (len > 1 && path[len - 1] == '/')
		len--;
	slash = memrchr(path, '/', len);
	return slash && slash + 1 < path + len ? slash + 1 : path;
}

/* Length of the valid UTF-8 sequence at @s, 0 when it is none. */
static size_t utf8_length(const unsigned char *s)
{
	size_t len = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 : 4;
	size_t i;

	if ((*s >= 0x80 && *s < 0xc2) || *s > 0xf4)
		return 0;
	for (i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

/* Appends @text as one clean line; what is no character becomes '?'. */
static void append(char *buf, size_t size, const char *text)
{
	size_t used = strlen(buf);
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		size_t len = utf8_length(s);
		bool odd = !len || *s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0);

		if (odd)
			len = *s == 0xc2 && len ? 2 : 1;
		if (used + (odd ? 1 : len) >= size)
			break;
		if (odd) {
			buf[used++] = '?';
		} else {
			memcpy(buf + used, s, len);
			used += len;
		}
		s += len;
	}
	buf[used] = '\0';
}

static void append_two(char *buf, size_t size, const char *first, const char *second)
{
	append(buf, size, first);
	append(buf, size, " ");
	append(buf, size, second);
}

static bool is_python(const char *base)
{
	return !strncmp(base, "python", 6) || !strncmp(base, "pypy", 4);
}

/*
 * A script called __main__.py, __init__.py, manage.py or app.py says little without its
 * folder; the first two say nothing.
 */
static void append_script(char *buf, size_t size, const char *script)
{
	const char *base = base_name(script), *folder = base;

	if (!strncmp(base, "__main__.", 9) || !strncmp(base, "__init__.", 9)) {
		if (folder > script + 1) {
			folder--;
			while (folder > script && folder[-1] != '/')
				folder--;
		}
		base = folder;
	}
	append(buf, size, base);
}

/* Children that multiprocessing starts by exec are all called `-c from multiprocessing...`. */
static const char *multiprocessing_role(const char *code)
{
	if (!strstr(code, "from multiprocessing"))
		return NULL;
	if (strstr(code, "spawn_main"))
		return "multiprocessing spawn";
	if (strstr(code, "forkserver"))
		return "multiprocessing forkserver";
	if (strstr(code, "resource_tracker") || strstr(code, "semaphore_tracker"))
		return "multiprocessing resource tracker";
	return "multiprocessing";
}

static void name_command(const char *code, char *buf, size_t size)
{
	const char *role = multiprocessing_role(code);
	char text[48];
	size_t len;

	append(buf, size, " ");
	if (role) {
		append(buf, size, "(");
		append(buf, size, role);
		append(buf, size, ")");
		return;
	}
	code += strspn(code, " \t\r\n");
	len = strcspn(code, "\r\n");
	snprintf(text, sizeof(text), "%.*s", (int)(len < 40 ? len : 40), code);
	append(buf, size, "-c ");
	append(buf, size, text);
	if (code[len < 40 ? len : 40])
		append(buf, size, "...");
}

/* vizbpf's own launcher (user/unprivileged.c) has its options next, and then what it runs. */
static bool skip_launcher(struct words *w, const char *code)
{
	const char *word;

	if (!strstr(code, "from vizbpf.launch import main"))
		return false;
	do
		word = words__next(w);
	while (word && strcmp(word, "--"));
	return word != NULL;
}

/* Python's own options up to the script: which of them take an argument of their own. */
static void name_python(struct words *w, const char *python, char *buf, size_t size)
{
	const char *word, *letter;

	append(buf, size, python);
	while ((word = words__next(w))) {
		if (word[0] != '-') {
			append(buf, size, " ");
			append_script(buf, size, word);
			return;
		}
		if (!strcmp(word, "--") || !strcmp(word, "-"))
			continue;
		if (!strcmp(word, "--check-hash-based-pycs")) {
			words__next(w);
			continue;
		}
		if (word[1] == '-')
			continue;
		for (letter = word + 1; *letter; letter++) {
			if (!strchr("cmWX", *letter))
				continue;
			word = letter[1] ? letter + 1 : words__next(w);
			if (*letter == 'c' && word && skip_launcher(w, word))
				break;
			if (*letter == 'c' && word)
				name_command(word, buf, size);
			else if (*letter == 'm' && word)
				append_two(buf, size, " -m", word);
			if (*letter == 'c' || *letter == 'm' || !word)
				return;
			break;
		}
	}
}

void viz_process_name__from(const char *cmdline, size_t len, const char *comm, char *buf,
			    size_t size)
{
	struct words w = {cmdline, cmdline + len};
	const char *first, *base, *second;

	if (!size)
		return;
	buf[0] = '\0';
	while (len && (!cmdline[len - 1] || cmdline[len - 1] == ' '))
		len--;
	if (!len) {
		append(buf, size, comm);
		return;
	}
	w.end = cmdline + len;
	first = words__next(&w);
	/* a title: setproctitle writes one text over all arguments */
	if (!memchr(cmdline, '\0', len) && memchr(cmdline, ' ', len)) {
		size_t end;

		append(buf, size, first);
		end = strlen(buf);
		while (end && buf[end - 1] == ' ')
			buf[--end] = '\0';
		return;
	}
	base = base_name(first);
	base += base[0] == '-'; /* login shells */
	if (is_python(base)) {
		name_python(&w, base, buf, size);
		return;
	}
	append(buf, size, base);
	/* `gunicorn app:main`, `celery worker`: the first argument that is no option tells them
	 * apart */
	while ((second = words__next(&w)) && second[0] == '-')
		;
	if (second && strlen(second) < 64 && !strchr(second, '\n'))
		append_two(buf, size, "", base_name(second));
}

int viz_process_name__get(pid_t pid, char *buf, size_t size)
{
	struct viz_procfs_status status;
	char cmdline[4096];
	ssize_t n;

	buf[0] = '\0';
	if (viz_procfs__status(pid, &status))
		return -ESRCH;
	n = viz_procfs__read(pid, "cmdline", cmdline, sizeof(cmdline));
	viz_process_name__from(cmdline, n > 0 ? (size_t)n : 0, status.comm, buf, size);
	/* one that is ending has a name still, but no arguments any more */
	if (n <= 0 && (viz_procfs__status(pid, &status) || status.kernel || status.state == 'Z'))
		return -ESRCH;
	return 0;
}

int viz_process_name__cmdline(pid_t pid, char *buf, size_t size)
{
	char cmdline[8192];
	ssize_t n = viz_procfs__read(pid, "cmdline", cmdline, sizeof(cmdline));
	struct words w;
	const char *word;
	bool quote;

	buf[0] = '\0';
	if (n < 0)
		return (int)n;
	while (n && !cmdline[n - 1])
		n--;
	w.next = cmdline;
	w.end = cmdline + n;
	while ((word = words__next(&w))) {
		if (word != cmdline)
			append(buf, size, " ");
		/* a title is one argument with blanks: quotes would be wrong */
		quote = word + strlen(word) + 1 < w.end || word != cmdline;
		quote = quote && (!*word || strpbrk(word, " \t\"'\\$;&|<>()"));
		append(buf, size, quote ? "'" : "");
		append(buf, size, word);
		append(buf, size, quote ? "'" : "");
	}
	return 0;
}

int viz_thread_name__get(pid_t pid, pid_t tid, char *buf, size_t size)
{
	char name[48], text[80];
	ssize_t n;

	buf[0] = '\0';
	snprintf(name, sizeof(name), "task/%d/comm", (int)tid);
	n = viz_procfs__read(pid, name, text, sizeof(text));
	if (n < 0)
		return -ESRCH;
	if (n && text[n - 1] == '\n')
		text[n - 1] = '\0';
	append(buf, size, text);
	return 0;
}
