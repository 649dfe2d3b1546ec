"""Many runs from one command: combinations, their jobs and processes."""
