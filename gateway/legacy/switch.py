"""Whether applications of Kannel's or Jasmin's form are served."""

from gateway.settings import Config


def is_on(config: Config) -> bool:
    """Whether any of these listeners is."""
    return bool(config.kannel.listen or config.jasmin.listen or config.jasmin.rest_listen)
