"""What is claimed, as commands."""
