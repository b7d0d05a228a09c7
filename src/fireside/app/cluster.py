"""The way to a Ray cluster: named by the user or the environment, and passed through the privacy guard before anything is sent."""

import asyncio
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

from fireside.core.errors import ConnectionFailed, FiresideError, Invalid
from fireside.engines.egress import Egress, Errand
from fireside.engines.transport import Timeouts, Transport
from fireside.index.ray_cluster import AUTO, RayCluster

ERRAND = Errand(engine="ray", purpose="indexing")
TIMEOUTS = Timeouts(connect=5.0, load=3.0, first_token=3.0, stall=3.0)


def open_cluster(address: str, egress: Egress, environ: Mapping[str, str]) -> RayCluster:
    """``address``: see ``RayCluster``; "auto" obeys Ray's own variable RAY_ADDRESS. Contacts nobody yet."""

    def permit(place: str) -> str:
        return asyncio.run(reached(place, egress))

    return RayCluster((environ.get("RAY_ADDRESS") or AUTO) if address == AUTO else address, permit)


async def reached(place: str, egress: Egress) -> str:
    """HOST:PORT as ADDRESS:PORT, of which the guard has been asked, and where something listens.

    Raises ``NotPermitted``, and ``ConnectionFailed`` where nothing listens: Ray would go on trying for minutes. A cluster does not speak
    HTTP, so whoever does is refused, too (``Invalid``).
    """
    host, _, port = place.rpartition(":")
    passage = await egress.admit(host, int(port), method="RAY", size=0, errand=ERRAND)
    transport = Transport(egress)
    try:
        await transport.request("GET", f"http://{place}/", timeouts=TIMEOUTS, errand=ERRAND)
    except ConnectionFailed as error:
        if error.context.get("cause") not in ("reset", "cut", "protocol"):
            raise _nobody(place, error) from error
    except FiresideError as error:
        # A cluster may also keep still.
        if error.context.get("phase") not in ("load", "first_token", "stall"):
            raise _nobody(place, error) from error
    else:
        raise Invalid(f"what answers at {place} is no Ray cluster", remedy="the cluster's own port, most often 6379")
    finally:
        await transport.aclose()
    address = ip_address(passage.addresses[0].partition("%")[0])
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def _nobody(place: str, error: FiresideError) -> FiresideError:
    if error.context.get("phase") != "connect" and not isinstance(error, ConnectionFailed):
        return error
    return ConnectionFailed(
        f"there is no Ray cluster at {place}: {error.message}",
        remedy="ray start --head\nor without a cluster: --ray local",
        cause="refused",
    )
