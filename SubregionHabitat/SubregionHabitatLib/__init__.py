"""From a breast DCE-MRI exam to labelled regions: reading, kinetic maps, lesion, habitats, ring.

numpy, scipy, SimpleITK and pydicom only; nothing here imports slicer, vtk or Qt
(``mrml_bridge`` is the one exception and is imported by the Slicer modules alone).
Arrays are (T, Z, Y, X) or (Z, Y, X); physical space is LPS in millimetres.
"""

__version__ = "0.1.0"
