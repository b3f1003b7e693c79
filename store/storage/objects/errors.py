"""What an error of the object storage library means: whether another attempt may help, and what to tell.

The library's messages hold addresses, replies of servers and its own internals; none of that is passed on.
"""

from __future__ import annotations

import re

AGAIN = "run the same command again, that is safe"


def status_of(error: Exception) -> int:
    found = re.search(r"status code: (\d{3})", str(error))
    return int(found[1]) if found else 0


def code_of(error: Exception) -> str:
    found = re.search(r"<Code>(\w{1,60})</Code>", str(error))
    return found[1] if found else ""


def transient(error: Exception) -> bool:
    """True where another attempt may help."""
    from obstore.exceptions import GenericError

    if not isinstance(error, GenericError):
        return False
    status = status_of(error)
    if status:
        return status >= 500 or status in (408, 429) or code_of(error) in ("RequestTimeout", "SlowDown")
    return "HttpError {" in str(error) or "invalid list response" in str(error).lower()


def reason(error: Exception, scheme: str = "s3", bucket: str = "") -> str:
    """Why a request failed and what to do; made of nothing that the server or the library wrote but codes."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    text, status, code = str(error), status_of(error), code_of(error)
    if code == "NoSuchBucket":
        return f"there is no bucket '{bucket}'; make it, or check its name and AWS_ENDPOINT_URL"
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"):
        return f"the credentials are not valid ({code}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, UnauthenticatedError) or status == 401:
        return "the storage asks for credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if isinstance(error, PermissionDeniedError) or status == 403:
        return f"access denied ({code or status}); ask for the right to list, read and write there"
    if "region" in text.lower() or code in ("PermanentRedirect", "AuthorizationHeaderMalformed"):
        return "the bucket lies in another region; set AWS_REGION"
    if "kind: Connect" in text:
        return "nobody answers there; check AWS_ENDPOINT_URL and the network"
    if "kind: Timeout" in text:
        return f"no answer in time; check the network, or raise VIDRAG_OBJECT_TIMEOUT; {AGAIN}"
    if "HttpError {" in text:
        return f"the connection broke off; {AGAIN}"
    if status:
        return f"the storage failed with {status}{' ' + code if code else ''}; {AGAIN}"
    return f"the storage failed ({type(error).__name__}); check the address and the credentials"
