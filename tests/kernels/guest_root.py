# SPDX-License-Identifier: Apache-2.0
"""The small root that the kernels boot into: vizbpf, what it is linked with, this machine's
Python and those of other releases that are there, and the tests that run inside."""
import glob
import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
ROOTS = os.path.join(os.environ.get("VIZBPF_CACHE", "/var/cache/vizbpf"), "roots")
# Parts of the standard library that nothing here imports, and modules with large libraries.
LEFT_OUT = ("config-*", "test", "lib2to3", "pydoc_data", "idlelib", "tkinter", "ensurepip",
            "distutils", "turtledemo", "dist-packages", "site-packages", "sqlite3", "_ssl.*",
            "_hashlib.*", "_tkinter.*", "_curses*", "readline.*", "_dbm.*", "_gdbm.*", "_sqlite3.*",
            "nis.*", "_test*", "_xx*")
# Where the other releases' Pythons come from; one that needs no slot, and one that inlines.
OTHERS = ("bullseye", "trixie")


class Missing(Exception):
    """Something of this machine that the root needs."""


class Root:
    """Copies files, with what they are linked with, from @source to @target."""

    def __init__(self, target, source="/"):
        self.target, self.source = target, source

    def place(self, path):
        """Where a file of the source goes; symlinks on the way (/lib, /bin) are made anew."""
        where = os.path.join(self.target, path.lstrip("/"))
        os.makedirs(os.path.dirname(where), exist_ok=True)
        return where

    def copy(self, path):
        """A file by the name it is asked for by, whatever links lead to it."""
        where = self.place(path)
        if not os.path.exists(where):
            shutil.copy2(self.real(path), where)
        return where

    def real(self, path):
        """What a path means inside the source."""
        if self.source == "/":
            return os.path.realpath(path)
        for _ in range(8):
            parts, resolved = [p for p in path.split("/") if p], ""
            for number, part in enumerate(parts):
                full = self.source + resolved + "/" + part
                if os.path.islink(full):
                    link = os.readlink(full)
                    base = "" if link.startswith("/") else resolved + "/"
                    path = os.path.normpath("/".join([base + link] + parts[number + 1:]))
                    break
                resolved += "/" + part
            else:
                return self.source + resolved
        raise Missing("%s in %s: too many links" % (path, self.source))

    def linked(self, *paths):
        """The shared libraries of files, the loader too."""
        prefix = [] if self.source == "/" else ["chroot", self.source]
        said = subprocess.run(prefix + ["ldd"] + list(paths), capture_output=True, text=True,
                              check=False).stdout
        for library in sorted(set(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.M))):
            self.copy(library)

    def program(self, path):
        self.copy(path)
        self.linked(path)

    def python(self, path):
        """An interpreter and the needed part of its standard library."""
        real = self.real(path)
        inside = real[len(self.source.rstrip("/")):]
        self.program(inside)
        if path != inside and not os.path.exists(self.place(path)):
            os.symlink(os.path.basename(inside), self.place(path))
        version = re.search(r"python(\d\.\d+)$", inside).group(1)
        library = "/usr/lib/python" + version
        shutil.copytree(self.source.rstrip("/") + library, self.place(library),
                        ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True,
                        ignore_dangling_symlinks=True)
        extensions = glob.glob(self.place(library) + "/lib-dynload/*.so")
        self.linked(*(library + "/lib-dynload/" + os.path.basename(e) for e in extensions))


def build(directory, vizbpf):
    """Makes the root in @directory and DIRECTORY.cpio from it; returns the latter."""
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("proc", "sys", "dev", "run", "tmp", "root", "bin", "etc"):
        os.makedirs(os.path.join(directory, name))
    root = Root(directory)
    busybox = shutil.which("busybox")
    if not busybox:
        raise Missing("busybox is not installed")
    shutil.copy2(busybox, os.path.join(directory, "bin/busybox"))
    os.symlink("busybox", os.path.join(directory, "bin/sh"))
    root.python("/usr/bin/python3")
    os.makedirs(os.path.join(directory, "vizbpf/build"))
    shutil.copy2(vizbpf, os.path.join(directory, "vizbpf/build/vizbpf"))
    root.linked(os.path.abspath(vizbpf))
    for part in ("truth", "safety", "kernels/guest"):
        shutil.copytree(os.path.join(TOP, "tests", part),
                        os.path.join(directory, "vizbpf/tests", part),
                        ignore=shutil.ignore_patterns("__pycache__"))
    for name in OTHERS:
        source = os.path.join(ROOTS, name)
        if os.path.exists(os.path.join(source, "vizbpf-root")):
            other = Root(os.path.join(directory, "var/cache/vizbpf/roots", name), source)
            for inside in ("proc", "dev", "tmp"):
                os.makedirs(os.path.join(other.target, inside), exist_ok=True)
            other.python("/usr/bin/python3")
            other.copy("/vizbpf-root")
    with open(os.path.join(directory, "etc/passwd"), "w", encoding="ascii") as file:
        file.write("root:x:0:0:root:/root:/bin/sh\n")
    shutil.copy2(os.path.join(HERE, "guest/init"), os.path.join(directory, "init"))
    archive = directory + ".cpio"
    names = subprocess.run(["find", ".", "-print0"], cwd=directory, capture_output=True,
                           check=True).stdout
    with open(archive, "wb") as file:
        subprocess.run(["cpio", "-o", "-0", "-H", "newc", "--quiet", "-R", "0:0"], cwd=directory,
                       input=names, stdout=file, check=True)
    return archive
