"""Speed, ours against alternatives, in one run: `make bench`."""
