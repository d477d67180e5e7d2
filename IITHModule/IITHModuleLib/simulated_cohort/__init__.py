"""A cohort of simulated exams whose lesions follow the joint distribution of a real table."""
