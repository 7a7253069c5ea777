"""A second world, by other laws than `campaigns.simulation`, to score what was chosen on the first."""
