# SPDX-License-Identifier: Apache-2.0
"""vizbpf.h, and the probe in the extension: the ELF notes that tracers read."""
import os
import shutil
import struct
import subprocess

import vizbpf
from support import Skip, folder, write
from vizbpf import _native


def _cut(data, at):
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1


def probes(path):
    """[(location's bytes, location, semaphore, provider, name, arguments)] of a 64-bit ELF file."""
    with open(path, "rb") as file:
        data = file.read()
    offset, size, count = struct.unpack_from("<Q", data, 40)[0], *struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, offset + i * size) for i in range(count)]
    found = []
    for section in sections:
        at, end = section[4], section[4] + section[5]
        while section[1] == 7 and at + 12 <= end:  # SHT_NOTE
            name_size, size_, kind = struct.unpack_from("<III", data, at)
            start = at + 12 + (name_size + 3 & ~3)
            if data[at + 12:at + 12 + name_size] == b"stapsdt\0" and kind == 3:
                location, _base, semaphore = struct.unpack_from("<QQQ", data, start)
                provider, text = _cut(data, start + 24)
                probe, text = _cut(data, text)
                arguments, _ = _cut(data, text)
                code = b""
                for other in sections:
                    if other[2] & 4 and other[3] <= location < other[3] + other[5]:
                        place = location - other[3] + other[4]
                        code = data[place:place + 5]
                found.append((code, location, semaphore, provider, probe, arguments))
            at = start + (size_ + 3 & ~3)
    return found


def _check(found):
    assert found
    for code, _location, semaphore, provider, name, arguments in found:
        assert (provider, name) == ("vizbpf", "event") and semaphore
        if os.uname().machine == "x86_64":
            assert arguments == "8@%rdi 8@%rsi 8@%rdx 8@%rcx 8@%r8 8@%r9", arguments
            # Linux 6.18 turns a probed 5-byte nop into a call, which is no good in a leaf function
            assert code[:1] == b"\x90", code


def test_the_extension_has_one_probe():
    found = probes(_native.__file__)
    assert len({f[2] for f in found}) == 1 and 1 <= len(found) <= 4, found
    _check(found)


_C = """
#include <vizbpf.h>
int other(void);
int main(void)
{
	vizbpf_begin("a", "b", NULL);
	vizbpf_instant("i", NULL, "{}");
	vizbpf_counter("c", 1.5);
	vizbpf_async_begin("r", 1, NULL);
	vizbpf_async_end("r", 1, NULL);
	vizbpf_flow_start("f", 1);
	vizbpf_flow_step("f", 1);
	vizbpf_flow_end("f", 1);
	vizbpf_end("a");
	return vizbpf_enabled() + other();
}
"""
_CXX = """
#include <vizbpf.h>
template <typename T> T twice(T x) { vizbpf_scope scope("twice"); return x + x; }
inline int in_header() { vizbpf_instant("inline", NULL, NULL); return 0; }
extern "C" int other(void) { vizbpf_scope scope("other", "cat"); return twice(0) + in_header(); }
"""


def test_c_and_cxx_programs():
    include = ["-I", vizbpf.get_include()]
    compilers = [pair for pair in (("gcc", "g++"), ("clang", "clang++")) if all(map(shutil.which, pair))]
    if not compilers:
        raise Skip("no C and C++ compiler")
    for c, cxx in compilers:
        for flags in (["-O0"], ["-O2"], ["-O2", "-fPIC", "-pie"]):
            with folder() as here:
                write(os.path.join(here, "a.c"), _C)
                write(os.path.join(here, "b.cc"), _CXX)
                strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-c"] + [f for f in flags if f != "-pie"]
                subprocess.run([c, "-std=c99"] + strict + include + ["a.c", "-o", "a.o"], cwd=here, check=True)
                subprocess.run([cxx, "-std=c++11"] + strict + include + ["b.cc", "-o", "b.o"], cwd=here,
                               check=True)
                subprocess.run([cxx, "a.o", "b.o", "-o", "program"] + [f for f in flags if f == "-pie"],
                               cwd=here, check=True)
                program = os.path.join(here, "program")
                assert subprocess.run([program]).returncode == 0
                found = probes(program)
                _check(found)
                assert len({f[2] for f in found}) == 1, "one semaphore for the whole program"


def test_other_machines_get_nothing():
    compiler = shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise Skip("no C compiler")
    with folder() as here:
        write(os.path.join(here, "a.c"), _C + "int other(void) { return 0; }\n")
        subprocess.run([compiler, "-DVIZBPF_DISABLE", "-Wall", "-Wextra", "-Werror", "-I", vizbpf.get_include(), "a.c",
                        "-o", "program"], cwd=here, check=True)
        assert probes(os.path.join(here, "program")) == []
        assert subprocess.run([os.path.join(here, "program")]).returncode == 0
