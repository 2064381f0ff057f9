"""Logging: one line an event of interest on standard error, as text for people or JSON for machines.

Never a message's text, never a secret: nothing that is logged holds one. Tracebacks come only with faults of
our own.
"""

import logging
import sys

import structlog

from gateway.settings import LogSettings


def configure(settings: LogSettings) -> None:
    """Set up structlog once, at the start of a program."""
    as_text = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_text:
        # The renderer's own choice, rich, prints local variables: passwords and texts among them.
        plain = structlog.dev.plain_traceback
        processors.append(structlog.dev.ConsoleRenderer(exception_formatter=plain))
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
