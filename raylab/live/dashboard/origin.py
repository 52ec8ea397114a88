"""Which requests are the page's own: by Host and Origin, before anything else is looked at."""

import re
from collections.abc import Sequence

# A name or address, in brackets if it has colons, and a port. Whatever else stands in a Host header is no host.
_HOST = re.compile(r"([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.IGNORECASE)
_ORIGIN = re.compile(rf"null|[a-z][a-z0-9+.-]{{0,20}}://{_HOST.pattern}", re.IGNORECASE)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
MALFORMED, FOREIGN, TOO_LARGE = 400, 403, 431  # status codes
REASONS = {
    MALFORMED: "malformed Host or Origin",
    FOREIGN: "only this machine's own page",
    TOO_LARGE: "the headers are too large",
}


def refusal(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """The status code that a request is refused with; 0 if it comes from this page.

    Another site that is open in the same browser is refused, whatever name it gives loopback.
    """
    hosts, origins = (
        [value.decode("latin-1").strip() for name, value in headers if name.lower() == wanted]
        for wanted in (b"host", b"origin")
    )
    host = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if host is None or len(origins) > 1 or not all(map(_ORIGIN.fullmatch, origins)):
        return MALFORMED
    own_origins = [f"{scheme}://{hosts[0]}".lower() for scheme in ("http", "https")]
    is_own = host[1].lower() in LOOPBACK and all(origin.lower() in own_origins for origin in origins)
    return 0 if is_own else FOREIGN
