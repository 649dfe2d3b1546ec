"""What may go wrong, tried at random and many times: `make torture`. docs/faults.md says what each fault is."""
