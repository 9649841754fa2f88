# SPDX-License-Identifier: Apache-2.0
"""python -m vizbpf script.py: see launch.py."""
import sys

from .launch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
