from bao_fixtures import bao, frail_bao, prefix  # noqa: F401  # fixtures
