"""How a command behaves as a process: signals, a lost terminal, exit codes."""
