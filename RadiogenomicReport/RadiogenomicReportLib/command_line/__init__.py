"""The commands of ``iith``, one file each with ``add_parser`` and ``run``."""
