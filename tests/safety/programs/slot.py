# SPDX-License-Identifier: Apache-2.0
"""Where the PEP 523 slots of this process are, found from inside, without vizbpf.

    import slot; slot.addresses()      [(address, value of &_PyEval_EvalFrameDefault), ...]
    python3 slot.py read PID ADDR...   the values, read through /proc/PID/mem

The offset is the displacement of the load in _PyInterpreterState_GetEvalFrameFunc(interp),
as in user/target/, but by the interpreter's own accessors and not by its ELF file.
"""
import ctypes
import sys

api = ctypes.pythonapi


def _pointer(name):
    return ctypes.cast(getattr(api, name), ctypes.c_void_p).value


def offset():
    code = ctypes.string_at(_pointer("_PyInterpreterState_GetEvalFrameFunc"), 32)
    at = code.find(b"\x48\x8b\x87")  # mov disp32(%rdi), %rax
    if at < 0:
        raise SystemExit("slot: no load found in _PyInterpreterState_GetEvalFrameFunc")
    return int.from_bytes(code[at + 3 : at + 7], "little")


def addresses():
    api.PyInterpreterState_Head.restype = ctypes.c_void_p
    api.PyInterpreterState_Next.restype = ctypes.c_void_p
    api.PyInterpreterState_Next.argtypes = [ctypes.c_void_p]
    default = _pointer("_PyEval_EvalFrameDefault")
    found = []
    interp = api.PyInterpreterState_Head()
    while interp:
        found.append((interp + offset(), default))
        interp = api.PyInterpreterState_Next(interp)
    return found


def mine():
    """The values now, read from inside."""
    return [ctypes.c_uint64.from_address(a).value for a, _ in addresses()]


def put(value):
    for a, _ in addresses():
        ctypes.c_uint64.from_address(a).value = value


def read(pid, address):
    with open("/proc/%d/mem" % int(pid), "rb", 0) as mem:
        mem.seek(address)
        return int.from_bytes(mem.read(8), "little")


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] != "read":
        raise SystemExit(__doc__)
    for text in sys.argv[3:]:
        print(read(sys.argv[2], int(text, 0)))
