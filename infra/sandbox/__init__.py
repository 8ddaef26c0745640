"""The other sides, played by one HTTP service that keeps effects by key and can be told to misbehave."""
