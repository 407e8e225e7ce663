"""The protocol's messages, made from the .proto when the agent starts, and connections for them."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

import grpc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "crates/shivneri-transport/proto"
OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC would put two channels to one address on one connection, and remember between them
    # how long not to dial again. Bodies need a connection of their own, and the pauses are ours.
    ("grpc.use_local_subchannel_pool", 1),
]

with tempfile.TemporaryDirectory() as out:
    plugin = shutil.which("grpc_python_plugin")
    generate = ["protoc", f"-I{PROTO}", f"--python_out={out}", f"--grpc_python_out={out}"]
    generate += [f"--plugin=protoc-gen-grpc_python={plugin}", "shivneri/agent/v1/agent.proto"]
    subprocess.run(generate, check=True)
    sys.path.insert(0, out)
    from shivneri.agent.v1 import agent_pb2 as messages
    from shivneri.agent.v1.agent_pb2_grpc import AgentsStub

    sys.path.remove(out)


def dial(url):
    """A connection to the server that is shared with no other."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        return grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(), OPTIONS)
    return grpc.insecure_channel(parts.netloc, OPTIONS)


def failed(kind, cause, detail="", **more):
    """The outcome of an attempt that failed, by the names of its kind and cause."""
    kind, cause = messages.Failure.Kind.Value(kind), messages.Failure.Cause.Value(cause)
    failure = messages.Failure(kind=kind, cause=cause, detail=detail, **more)
    return messages.Outcome(failed=failure)
