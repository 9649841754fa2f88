# SPDX-License-Identifier: Apache-2.0
"""Before a recording in CPython 3.11.0 to 3.11.3 begins, see src/getitem.h."""
import sys

from . import _native

_dict_of = type.__dict__["__dict__"].__get__


def prepare():
    """What is specialised for __getitem__ methods is so no more, and what runs will not be."""
    seen, left = set(), [object]
    while left:
        for cls in type.__subclasses__(left.pop()):
            if id(cls) not in seen:
                seen.add(id(cls))
                left.append(cls)
                if "__getitem__" in _dict_of(cls):
                    _native._forget_specialised(cls)
    for frame in sys._current_frames().values():
        while frame is not None:
            _native._keep_general(frame.f_code)
            frame = frame.f_back
