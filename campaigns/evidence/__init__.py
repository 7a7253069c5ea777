"""What a group's accounts show, a file a signal: statistic, null, effect and one plain sentence."""
