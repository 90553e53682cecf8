"""The dashboard: asv's pages by commit and a page that compares with the other libraries, as files for any server."""


class DashboardError(Exception):
    """Why no dashboard can be published, in words for the one who asked for it."""
