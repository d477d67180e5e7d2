"""The 107 features and the filtered images of PyRadiomics 3.0.1 in numpy, without a compiler."""
