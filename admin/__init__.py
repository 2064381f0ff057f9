"""The web console: the only place that knows HTML. See README.md."""
