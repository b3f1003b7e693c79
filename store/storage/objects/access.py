"""Addresses of object storage and the way in: URLs, patience, credentials.

What is read from the environment is what S3 tools usually read: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
``AWS_SESSION_TOKEN``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, ``AWS_PROFILE`` with the profile files, web identities,
and the service account of the machine.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from ...errors import EngineMissing, OptionError, UsageError
from ...options import Options
from ...transport import is_private

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

    Store = S3Store | GCSStore | AzureStore

SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az"}
_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


class ObjectOptions(Options):
    """How patient requests are.

    ``timeout_s``: seconds of one request, which carries up to 8 MiB; ``attempts``: how often one is tried;
    ``backoff_s``: seconds before the second attempt, doubled before each further one, up to ten.
    """

    timeout_s: float = Field(60.0, gt=0, le=3600)
    attempts: int = Field(8, ge=1, le=100)
    backoff_s: float = Field(0.25, ge=0, le=60)

    @classmethod
    def from_env(cls) -> ObjectOptions:
        """From ``VIDRAG_OBJECT_TIMEOUT``, ``VIDRAG_OBJECT_ATTEMPTS`` and ``VIDRAG_OBJECT_BACKOFF``."""
        names = {"timeout_s": "TIMEOUT", "attempts": "ATTEMPTS", "backoff_s": "BACKOFF"}
        given = {k: v for k, n in names.items() if (v := os.environ.get(f"VIDRAG_OBJECT_{n}"))}
        try:
            return cls.model_validate(given)
        except ValidationError as e:
            first = e.errors()[0]
            name = names[str(first["loc"][0])]
            raise OptionError(f"VIDRAG_OBJECT_{name}={first['input']}: {first['msg']}") from e


def is_url(text: str) -> bool:
    """True for what names an object or a prefix, not a local path."""
    return "://" in text


def split_url(url: str) -> tuple[str, str, str]:
    """Scheme, bucket and key (without slashes at its ends) of ``url``; the key is taken as it stands, nothing unquoted.

    Raises :class:`UsageError` where it names no bucket, or a key that no request can carry.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    key = key.strip("/")
    if scheme.lower() not in SCHEMES:
        raise UsageError(f"{url}: unknown kind of address '{scheme}://'; use a path, s3://, gs:// or az://")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", bucket):
        raise UsageError(f"{url}: names no bucket; write {scheme}://BUCKET/FOLDER")
    if any(part in ("", ".", "..") for part in key.split("/")) and key:
        raise UsageError(f"{url}: has an empty, '.' or '..' part; such names cannot be used in object storage")
    return SCHEMES[scheme.lower()], bucket, key


def open_store(scheme: str, bucket: str, options: ObjectOptions, retries: int) -> Store:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as e:
        raise EngineMissing(
            "object storage needs the package obstore; get it with: pip install 'vidrag[objects]'"
        ) from e

    client: ClientConfig = {
        "timeout": timedelta(seconds=options.timeout_s),
        "connect_timeout": timedelta(seconds=min(10.0, options.timeout_s)),
    }
    retry: RetryConfig = {
        "max_retries": retries,
        "retry_timeout": timedelta(seconds=options.timeout_s * options.attempts),
        "backoff": {"init_backoff": timedelta(seconds=options.backoff_s), "max_backoff": timedelta(seconds=10)},
    }
    try:
        if scheme == "gs":
            return GCSStore(bucket, client_options=client, retry_config=retry)
        if scheme == "az":
            return AzureStore(bucket, client_options=client, retry_config=retry)
        config = _s3_settings(os.environ)
        if config.get("endpoint", "").startswith("http://"):
            client["allow_http"] = True
        return S3Store(bucket, client_options=client, retry_config=retry, **config)
    except BaseError as e:
        why = str(e).partition("Debug source")[0].strip()[:200]
        raise UsageError(f"{scheme}://{bucket}: cannot be used ({why})") from e


def _s3_settings(env: Mapping[str, str]) -> dict[str, Any]:
    """Endpoint, region and keys for what the library does not find in the environment by itself."""
    profile = _profile(env)
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or env.get("AWS_ENDPOINT")
    endpoint = endpoint or profile.get("endpoint_url", "")
    config: dict[str, Any] = {
        "region": env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or profile.get("region") or "us-east-1"
    }
    if endpoint:
        if not is_private(endpoint) and env.get("AWS_ALLOW_HTTP", "").lower() != "true":
            raise UsageError("AWS_ENDPOINT_URL is not encrypted (http://); use https://, or set AWS_ALLOW_HTTP=true")
        config["endpoint"] = endpoint
    if env.get("AWS_SKIP_SIGNATURE", "").lower() == "true":
        return {**config, "skip_signature": True}
    if env.get("AWS_ACCESS_KEY_ID") and not env.get("AWS_PROFILE"):
        return config
    if "aws_access_key_id" in profile:
        keys = {k.removeprefix("aws_"): v for k, v in profile.items() if k in _KEYS}
        return config | {"token" if k == "session_token" else k: v for k, v in keys.items()}
    if env.get("AWS_PROFILE"):
        raise UsageError(f"AWS_PROFILE={env['AWS_PROFILE']}: no such profile with an access key in the profile files")
    service = any(n.startswith(("AWS_CONTAINER_", "AWS_WEB_IDENTITY_")) for n in env)
    if not service and (endpoint or env.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"):
        raise UsageError("no credentials for s3://; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
    return config


def _profile(env: Mapping[str, str]) -> dict[str, str]:
    """Settings of the profile in use, from the credentials file and the configuration file."""
    home = Path(env.get("HOME", "~")).expanduser() / ".aws"
    name = env.get("AWS_PROFILE") or "default"
    found: dict[str, str] = {}
    for file, section in (
        (env.get("AWS_CONFIG_FILE") or home / "config", name if name == "default" else f"profile {name}"),
        (env.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials", name),
    ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, "utf-8")
            found |= dict(parser[section]) if parser.has_section(section) else {}
        except (configparser.Error, OSError, UnicodeDecodeError) as e:
            raise UsageError(f"{file}: not readable as an AWS profile file ({type(e).__name__})") from e
    return found
