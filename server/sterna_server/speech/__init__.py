"""Speech from the command line: `sterna transcribe`, `speak` and `voices`."""
