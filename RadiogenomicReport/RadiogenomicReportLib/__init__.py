"""The case as a whole: result folder, report and command line. Depends on the two other libraries."""
