"""DICOM objects of a case: segmentation, parametric maps and a TID 1500 measurement report, by highdicom."""
