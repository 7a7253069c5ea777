"""Traffic with truth: ordinary people, campaigns and innocent look-alikes, from one law and declarations."""
