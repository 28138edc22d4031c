"""A folder that runs by itself: the image's recipe, what is installed, and how to start it without one."""

from __future__ import annotations

from headrace.release.targets.deploy import PORT, STATE, USER, Deploy

_HEALTHY = (
    "import urllib.request as u; u.urlopen('http://127.0.0.1:'+__import__('os').environ"
    ".get('HEADRACE_PORT','{port}')+'/health/live', timeout=2)"
)


def docker_files(about: Deploy) -> dict[str, str]:
    """The texts of the folder, by path; the wheel, the release and its artifacts lie beside them."""
    return {
        "Dockerfile": dockerfile(about),
        ".dockerignore": "*\n!requirements.txt\n!wheels\n!release\n",
        "requirements.txt": requirements(about),
        "README.md": readme(about),
    }


def requirements(about: Deploy) -> str:
    """Every distribution that is installed, headrace's own wheel apart."""
    lines = [f"{name}=={version}" for name, version in about.pins.items()]
    return "\n".join(["# Complete: install with --no-deps.", *lines, ""])


def dockerfile(about: Deploy) -> str:
    """The recipe. What builds stays behind; the image holds Python, the environment and the release."""
    minor = ".".join(about.python.split(".")[:2])
    base = f"python:{about.python}-slim-bookworm"
    healthy = _HEALTHY.format(port=PORT)
    return f"""# {about.project}, release {about.release}
FROM {base} AS build
COPY requirements.txt /build/requirements.txt
COPY wheels /build/wheels
RUN python -m venv --without-pip /opt/venv \\
 && python -m pip --python /opt/venv install --no-cache-dir --no-deps -r /build/requirements.txt \\
 && python -m pip --python /opt/venv install --no-cache-dir --no-deps /build/wheels/{about.wheel} \\
 && /opt/venv/bin/python -m compileall -q /opt/venv/lib/python{minor}/site-packages

FROM {base}
LABEL org.opencontainers.image.title="{about.slug}" \\
      org.opencontainers.image.version="{about.release}"
COPY --from=build /opt/venv /opt/venv
COPY --chmod=0755 release /release
# Written to at run time: {STATE} alone. Run it read-only, with a volume there (see compose.yaml).
RUN install -d -o {USER} -g {USER} -m 0700 {STATE}
ENV PATH=/opt/venv/bin:$PATH \\
    PYTHONDONTWRITEBYTECODE=1 \\
    PYTHONUNBUFFERED=1 \\
    OMP_NUM_THREADS=1 \\
    HEADRACE_STATE={STATE} \\
    HEADRACE_HOST=0.0.0.0 \\
    HEADRACE_PORT={PORT}
USER {USER}:{USER}
VOLUME ["{STATE}"]
EXPOSE {PORT}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \\
  CMD ["python", "-c", "{healthy}"]
ENTRYPOINT ["python", "-m", "headrace.cli.exported", "/release"]
"""


def readme(about: Deploy) -> str:
    """What to do with the folder."""
    key = (
        "\nThe release hashes personal data: it needs the key of training, in `HEADRACE_PII_KEY` or a file\n"
        "that `HEADRACE_PII_KEY_FILE` names. It is never exported.\n"
        if about.key
        else ""
    )
    return f"""# {about.project}, release {about.release}

Build and start it:

    docker build -t {about.image} .
    docker run --rm --read-only --tmpfs /tmp -v {about.slug}-state:{STATE} -p {PORT}:{PORT} \\
      -e HEADRACE_TOKENS=/run/secrets/headrace/tokens.json -v "$PWD/secrets:/run/secrets/headrace:ro" \\
      {about.image}

or without a container, in a fresh virtual environment:

    python3 -m venv venv
    venv/bin/pip install --no-deps -r requirements.txt wheels/{about.wheel}
    HEADRACE_STATE=state venv/bin/python -m headrace.cli.exported release

It listens on {PORT} and answers `POST /predict`; `GET /` says what there is. It asks no ledger and no network
for anything.

Who may ask: the tokens whose hashes are in `secrets/tokens.json`. Make them in the project
(`headrace token create`), and export again: what is not in the file any more is revoked when the server
starts with it. Without a token it answers its own machine alone; `HEADRACE_OPEN=1` lets everybody in.
{key}
| variable | |
|---|---|
| `HEADRACE_STATE` | where the log and what arrives later are kept; the one place that is written to |
| `HEADRACE_HOST`, `HEADRACE_PORT` | where it listens |
| `HEADRACE_WORKERS` | processes that answer (default: 1) |
| `HEADRACE_LOG` | durable, buffered or off (default: as the release says) |
| `HEADRACE_TOKENS` | the file of tokens |
| `HEADRACE_OPEN` | 1: everybody may ask |
"""
