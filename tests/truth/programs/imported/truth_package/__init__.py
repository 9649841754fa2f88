# SPDX-License-Identifier: Apache-2.0
from . import inner

inner.function()
