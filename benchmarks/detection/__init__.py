"""What is found, missed and falsely reported on simulated logs, beside the methods of others."""
