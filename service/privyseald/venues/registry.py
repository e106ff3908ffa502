"""The venues by name. A venue's file registers its class; nothing else lists them."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeGuard, TypeVar

from privyseald.errors import FieldInvalid, VenueUnknown
from privyseald.venues.operation_table import OperationTable
from privyseald.venues.venue import Environment, IssuingVenue, SessionVenue, Venue

_V = TypeVar("_V", bound=Venue)
_registered: dict[str, Venue] = {}


def register(cls: type[_V]) -> type[_V]:
    """Enter a venue under its name. A name that is taken is a programmer's mistake."""
    venue = cls()
    if venue.name in _registered:
        raise ValueError(f"two venues are named {venue.name!r}")
    _registered[venue.name] = venue
    return cls


def opens_sessions(venue: Venue) -> TypeGuard[SessionVenue]:
    """Whether the venue logs in."""
    return hasattr(venue, "login")


def issues_keys(venue: Venue) -> TypeGuard[IssuingVenue]:
    """Whether the venue issues keys by its API."""
    return hasattr(venue, "create_key")


class Venues:
    """All venues, with the base URLs that the config overrides."""

    def __init__(self, base_urls: Mapping[str, Mapping[str, str]] | None = None) -> None:
        package = importlib.import_module("privyseald.venues")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"privyseald.venues.{module.name}")
        self._venues = dict(sorted(_registered.items()))
        self._tables: dict[str, OperationTable] = {}
        self._environments = {
            (name, environment.name): environment
            for name, venue in self._venues.items()
            for environment in venue.environments
        }
        for name, urls in (base_urls or {}).items():
            self._override(name, urls)

    def __iter__(self) -> Iterator[Venue]:
        return iter(self._venues.values())

    def get(self, name: str) -> Venue:
        """Return the venue. Raises VenueUnknown."""
        venue = self._venues.get(name)
        if venue is None:
            raise VenueUnknown(
                f"there is no such venue; this server has {', '.join(self._venues)}",
                metadata={"venue": name[:64]},
            )
        return venue

    def operation_table(self, venue: Venue) -> OperationTable:
        """Return the venue's operations, ready to be looked up."""
        table = self._tables.get(venue.name)
        if table is None:
            table = self._tables[venue.name] = OperationTable(venue.operations)
        return table

    def environment(self, venue: Venue, name: str, field: str = "environment") -> Environment:
        """Return one environment of the venue, the first where `name` is empty.

        Raises FieldInvalid.
        """
        environment = self._environments.get((venue.name, name or venue.environments[0].name))
        if environment is None:
            known = ", ".join(each.name for each in venue.environments)
            raise FieldInvalid(field, f"is no environment of {venue.name}; it has {known}")
        return environment

    def _override(self, name: str, urls: Mapping[str, str]) -> None:
        venue = self._venues.get(name)
        if venue is None:
            raise FieldInvalid(
                f"venues.{name}", f"is no venue; this server has {', '.join(self._venues)}"
            )
        # One URL serves all that the venue has anywhere, as a sandbox or a proxy does.
        beginnings = dict.fromkeys(
            beginning for each in venue.environments for beginning, _ in each.hosts
        )
        for environment_name, url in urls.items():
            environment = self.environment(
                venue, environment_name, f"venues.{name}.base_urls.{environment_name}"
            )
            self._environments[name, environment_name] = replace(
                environment,
                hosts=tuple((beginning, url.rstrip("/")) for beginning in beginnings),
            )
