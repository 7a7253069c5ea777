"""The analyst's page: one self-contained HTML file."""
