"""The commands of ``iith``, one file each with ``add_parser`` and ``run``."""

import os

from IITHModuleLib.one_thread import BLAS_VARIABLES

# Before anything imports numpy: no step multiplies large matrices, and small ones are slower on several threads, many
# times so where cores are busy. A user's own setting stands.
for _name in BLAS_VARIABLES:
    os.environ.setdefault(_name, "1")
