"""Clusters, accounts and time to linked groups, evidence and campaigns. Knows no text model, no Prefect."""
