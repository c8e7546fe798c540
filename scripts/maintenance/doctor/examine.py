"""All checks of the set-up, for when nothing is recorded.

The first one says whether Codex is read. The others follow the way of the traffic, to the database at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.launch.certificates import ca_certificate
from scripts.maintenance.doctor.background_server import check_background_server
from scripts.maintenance.doctor.installed_codex import check_installed_codex
from scripts.maintenance.doctor.installed_service import check_bundle, check_env_file, check_port, check_service
from scripts.maintenance.doctor.parallel import Job, run_all
from scripts.maintenance.doctor.programs import check_codex, check_versions
from scripts.maintenance.doctor.proxy import check_authority, check_log, check_way
from scripts.maintenance.doctor.reading import check_reading
from scripts.maintenance.doctor.recorded import check_beside, check_place
from scripts.support.place import own_file
from store.files import certificate_folder, log_folder
from store.settings import default_database

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scripts.maintenance.doctor.check import Check
    from scripts.support.place import Place

_SECONDS = 8.0
"""More than the limit of any single step of a check."""


def examine(place: Place, address: str, environ: Mapping[str, str], now: float) -> list[Check]:
    """Run all checks.

    Args:
        place: the database in use; of a team's database, the other checks are about the machine's own file.
        address: ``host:port`` at which a shared proxy would listen.
        environ: the environment of the shell.
        now: in Unix seconds.

    Raises:
        LaunchError: with exit code 2, ``address`` is not ``host:port``.
    """
    database = own_file(place) or default_database({})
    certificate = ca_certificate(certificate_folder())
    jobs = [
        Job("reading", lambda: check_reading(database, environ, now)),
        Job("shells", lambda: check_installed_codex(environ)),
        Job("service", lambda: check_service(environ, now)),
        Job("port", lambda: check_port(certificate)),
        Job(".env", lambda: check_env_file(environ, certificate)),
        Job("bundle", lambda: check_bundle(certificate)),
        Job("proxy", lambda: check_way(environ, address, certificate)),
        Job("server", lambda: check_background_server(environ, certificate)),
        Job("codex", lambda: check_codex(environ)),
        Job("versions", check_versions),
        Job("certificate", lambda: check_authority(certificate)),
        Job("database", lambda: check_place(place, now)),
        Job("copies", lambda: check_beside(database)),
        Job("log", lambda: check_log(log_folder(), now)),
    ]
    return run_all(jobs, _SECONDS)
