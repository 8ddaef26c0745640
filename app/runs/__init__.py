"""What has happened to each saga: runs, the cohorts they travel in, and the log of their steps."""
