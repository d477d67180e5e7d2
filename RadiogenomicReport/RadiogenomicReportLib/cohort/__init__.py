"""Statistics of a cohort and the page that shows them."""
