"""Stand-ins for the parts of 3D Slicer that the ``slicer-core`` package lacks, for tests without Slicer.

``slicer-core`` is Slicer's own MRML: scene, nodes, module logics and ``slicer.util``. It has no application,
no Qt and no scripted-module framework. This package supplies small stand-ins for those, true to Slicer in the
points that scripted modules rely on, so that the real module files load and run on a real scene. Widgets are those of
PySide6 without a screen: a test clicks them and takes pictures of them::

    from SlicerHost import host
    scene = host.start()
    module = host.load_module("SubregionHabitat")

The modules know nothing of it, and inside Slicer none of it is used. With the environment variable
SLICER_SOURCE_DIR naming a checkout of Slicer's sources, ``host.start(slicer_source=...)`` runs Slicer's own
ScriptedLoadableModule and parameterNodeWrapper instead of the stand-ins; only the Qt classes stay stand-ins.
"""
