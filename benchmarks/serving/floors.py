"""Floors, each a server: `python -m benchmarks.serving.floors KIND PORT [GRAPH]`.

constant: a Starlette route on uvicorn (uvloop, httptools) that answers a constant. bare: a raw ASGI
application that decodes a row with msgspec, asks the graph with onnxruntime, and encodes the answer: no
routes, no log, no checks. Both on uvicorn, one process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def constant() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def answer(_: Any) -> Response:
        return Response(b'{"prediction":1.0}', media_type="application/json")

    return Starlette(routes=[Route("/predict", answer, methods=["POST"])])


def bare(graph: Path) -> Any:
    import msgspec
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    kinds = {i.name: object if "string" in i.type else np.float64 for i in session.get_inputs()}
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    headers = [(b"content-type", b"application/json")]

    def predict(body: bytes) -> bytes:
        sent = decode(body)
        rows = [sent] if isinstance(sent, dict) else sent
        feeds = {n: np.array([r[n] for r in rows], dtype=kind) for n, kind in kinds.items()}
        (values,) = session.run(None, feeds)
        answers = [{"prediction": v} for v in values.tolist()]
        return encode(answers[0] if isinstance(sent, dict) else {"predictions": answers})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = predict(b"".join(parts))
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})

    return app


def main(kind: str, port: str, *graph: str) -> None:
    import uvicorn

    app = constant() if kind == "constant" else bare(Path(graph[0]))
    options: dict[str, Any] = {"loop": "uvloop", "http": "httptools", "lifespan": "off"}
    uvicorn.run(app, port=int(port), log_level="warning", access_log=False, **options)


if __name__ == "__main__":
    main(*sys.argv[1:])
