"""One self-contained HTML page from the files of Thresher jobs."""

__version__ = "0.1.0"
