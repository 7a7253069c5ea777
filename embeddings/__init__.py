"""Text to views, vectors, index, neighbours and clusters. Knows no accounts, no run folders, no Prefect."""
