"""Traffic with truth: ordinary accounts, campaigns and innocent look-alikes."""
