"""Who carries a cohort from step to step."""
