"""The same class graded by nbgrader and by us, and a class of 1,000: `make measure` runs this and records the ratios."""
