"""What more than one test file needs: files to read, runs and networks small enough for a test, programs to start."""
