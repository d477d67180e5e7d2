"""Which triangles the surface has in a cube of eight voxels: PyRadiomics' marching-cubes table, as data."""

# The table is that of PyRadiomics 3.0.1 (radiomics/src/cshape.c), in another notation, under its license:
#
# Copyright 2017 Harvard Medical School
#
# Redistribution and use in source and binary forms, with or without modification, are permitted provided that the
# following conditions are met:
#
# 1. Redistributions of source code must retain the above copyright notice, this list of conditions and the
# following disclaimer.
#
# 2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the
# following disclaimer in the documentation and/or other materials provided with the distribution.
#
# 3. Neither the name of the copyright holder nor the names of its contributors may be used to endorse or promote
# products derived from this software without specific prior written permission.
#
# THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED
# WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A
# PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY
# DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO,
# PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
# CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR
# OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH
# DAMAGE.

from __future__ import annotations

import numpy as np

# The eight corners of the cube as (z, y, x); corner k is bit k of the cube's number.
CORNERS = ((0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0))

# The middles of the twelve edges, in half voxels as (z, y, x).
EDGES = np.array(
    [
        *((0, 0, 1), (0, 1, 2), (0, 2, 1), (0, 1, 0)),
        *((2, 0, 1), (2, 1, 2), (2, 2, 1), (2, 1, 0)),
        *((1, 0, 0), (1, 0, 2), (1, 2, 2), (1, 2, 0)),
    ]
)

# Cubes 0 to 127, separated by "|": each triangle is named by its three edges (a is 10, b is 11). Cube 255 - k has the
# triangles of cube k with the other orientation.
_TRIANGLES = """
    |083|190|183 198|
    12a|083 12a|92a 029|283 2a8 a98|
    b23|b20 08b|190 b23|b21 19b 98b|
    3a1 ba3|a10 08a 8ba|903 3b9 ba9|98a ba8|
    478|043 473|190 478|194 147 173|
    12a 478|347 304 12a|92a 902 478|2a9 297 273 479|
    478 b23|b47 b24 204|190 478 b23|47b 94b b29 192|
    3a1 ba3 478|ba1 14b 104 47b|478 903 3b9 ba9|47b 4b9 9ba|
    954|954 083|054 015|854 835 315|
    12a 954|083 12a 954|2a5 542 240|2a5 325 354 834|
    954 b23|b20 08b 954|054 015 b23|215 258 b28 548|
    3a1 ba3 954|549 a10 08a 8ba|540 50b a5b b03|548 a58 ba8|
    789 579|309 539 357|780 017 715|157 173|
    789 579 12a|12a 309 395 357|028 825 857 2a5|2a5 253 357|
    579 789 b23|579 972 209 b27|b23 018 178 157|21b 17b 157|
    789 579 3a1 ba3|570 509 7b0 a10 ba0|ba0 03b a50 078 570|ba5 57b|
    65a|083 65a|190 65a|183 198 65a|
    165 126|165 126 083|965 906 026|598 582 526 832|
    b23 65a|b20 08b 65a|190 b23 65a|b21 19b 98b 65a|
    63b 653 513|08b 0b5 051 5b6|63b 036 065 059|659 69b b98|
    478 65a|043 473 65a|190 478 65a|194 147 173 65a|
    478 165 126|043 473 165 126|478 965 906 026|739 479 329 596 269|
    b23 478 65a|b47 b24 204 65a|190 b23 478 65a|47b 94b b29 192 65a|
    478 63b 653 513|51b 5b6 10b 47b 04b|478 63b 036 065 059|659 69b 479 7b9|
    a49 64a|a49 64a 083|01a a60 640|183 168 864 61a|
    149 124 264|149 124 264 083|024 426|832 824 426|
    b23 a49 64a|b20 08b a49 64a|b23 01a a60 640|641 61a 148 b21 18b|
    964 369 139 b63|18b 081 b61 149 641|63b 036 640|864 68b|
    67a 78a 89a|67a 0a7 09a 073|67a 1a7 178 018|67a 1a7 173|
    126 168 189 678|269 129 679 309 739|078 706 602|273 267|
    b23 67a 78a 89a|207 b27 097 67a 9a7|67a 1a7 178 018 b23|b21 17b a61 167|
    896 678 169 b63 136|091 67b|078 706 03b b60|67b|
"""


def triangles() -> tuple[np.ndarray, ...]:
    """For each of the cubes 0 to 127 its triangles, as edge numbers (n, 3)."""
    cubes = "".join(_TRIANGLES.split("\n")).split("|")[:128]
    return tuple(
        np.array([[int(edge, 12) for edge in triangle] for triangle in cube.split()], dtype=int).reshape(-1, 3)
        for cube in cubes
    )
