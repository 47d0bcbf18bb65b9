"""What the dashboard tells browsers in every answer: no frame, no guessed types, no address told to
others, and nothing from other hosts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]


def headers(host: str, inline: Iterable[str]) -> Headers:
    """The headers for a server that was asked for as `host`, "" where it does not answer to that.
    `inline`: the scripts inside its page, which alone may run beside those it serves as files.
    """
    own = f" ws://{host} wss://{host}" if host else ""  # older browsers: 'self' is no websocket
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", "blob:", *map(_source_of, inline)]),
        "worker-src": "'self' blob:",
        "style-src": "'self' 'unsafe-inline'",  # Streamlit writes its styles as it draws
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' data: blob:" + own,
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    told = {
        "content-security-policy": "; ".join(f"{k} {v}" for k, v in policy.items()),
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    return [(name.encode(), value.encode("latin-1")) for name, value in told.items()]


def _source_of(script: str) -> str:
    """How a content security policy names one inline script: by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
