"""compose.yaml: the image on one machine, read-only, with a volume for its log."""

from __future__ import annotations

from typing import Any

from headrace.release.targets.deploy import KEY_SECRETS, PORT, SECRETS, STATE, Deploy
from headrace.release.targets.yamls import as_yaml


def compose_file(about: Deploy) -> str:
    """The file's text (https://github.com/compose-spec/compose-spec)."""
    service: dict[str, Any] = {
        "image": about.image,
        "build": {"context": "."},
        "restart": "unless-stopped",
        "read_only": True,
        "user": "10001:10001",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": ["/tmp"],  # noqa: S108  a path in the container
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        "environment": {"HEADRACE_TOKENS": f"{SECRETS}/tokens.json"},
        "volumes": [f"state:{STATE}", f"./secrets:{SECRETS}:ro"],
        "stop_grace_period": "45s",
        "deploy": {"resources": {"limits": {"cpus": "1.0", "memory": f"{memory(about) * 2}M"}}},
        "logging": {"options": {"max-size": "10m", "max-file": "3"}},
    }
    made: dict[str, Any] = {"name": about.slug, "services": {"server": service}, "volumes": {"state": {}}}
    if about.key:
        service["environment"]["HEADRACE_PII_KEY_FILE"] = f"{KEY_SECRETS}/key"
        service["volumes"].append(f"${{HEADRACE_KEY_FOLDER:?holds the file `key`}}:{KEY_SECRETS}:ro")
    return as_yaml(f"{about.project}, release {about.release}: docker compose up --build", made)


def memory(about: Deploy) -> int:
    """Megabytes that a server is given: the process, and its artifacts in memory."""
    return 192 + 64 * -(-3 * about.bytes // 64_000_000)
