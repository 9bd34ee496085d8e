"""The plugin side of vittool's protocol for Python programs.

    serve(objective)

runs an object with the methods describe, open, mask (and, where its plan asks for them,
bind, targets, evaluate). Each takes the request message of plugins/objective.proto and
returns the reply message; messages are made from `pb`. Memory reads the tensors of targets and
evaluate. Needs grpcio and grpcio-tools.
"""

import math
import mmap
import os
import sys
import threading
from concurrent import futures

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
# The contract is compiled when the plugin starts; a copy of objective.proto beside this file works as well.
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "plugins")]
pb, _ = grpc.protos_and_services("objective.proto")

SERVICE = "vittool.objective.v1.Objective"
CALLS = {
    "Describe": (pb.DescribeRequest, "describe"),
    "Open": (pb.OpenRequest, "open"),
    "Bind": (pb.BindRequest, "bind"),
    "Mask": (pb.MaskRequest, "mask"),
    "Targets": (pb.TargetsRequest, "targets"),
    "Evaluate": (pb.EvaluateRequest, "evaluate"),
}


class Memory:
    """The shared memory of targets and evaluate, made from the request of bind.

    A tensor is a memoryview of the shape that it has in the call: the last batch of an epoch may be
    smaller than the bound one. numpy.asarray(view) is an array of it without a copy. An objective
    that evaluates describes itself with protocol_minor=1.
    """

    INPUTS = (pb.Region.ROLE_INPUT, pb.Region.ROLE_INPUT_GRADIENT)
    ROWS = (pb.Region.ROLE_VIEW, pb.Region.ROLE_TARGET)

    def __init__(self, request):
        self.regions = {(region.role, region.name): region for region in request.regions}
        self.segments = {}
        for segment in request.segments:
            access = mmap.ACCESS_READ if segment.read_only else mmap.ACCESS_WRITE
            if segment.fd:
                self.segments[segment.name] = mmap.mmap(segment.fd, segment.size, access=access)
            else:
                with open(segment.path, "rb" if segment.read_only else "r+b") as file:
                    self.segments[segment.name] = mmap.mmap(file.fileno(), segment.size, access=access)

    def tensor(self, call, role, name):
        """The tensor of a role and name in a call, a TargetsRequest or EvaluateRequest."""
        region = self.regions[role, name]
        shape = list(region.shape)
        if role in self.INPUTS:
            shape = next((list(given.shape) for given in call.inputs if given.name == name), shape)
        elif role in self.ROWS:
            shape[0] = len(call.sample_ids)
        kind, size = {pb.DTYPE_F32: ("f", 4), pb.DTYPE_I32: ("i", 4), pb.DTYPE_U8: ("B", 1)}[region.dtype]
        data = memoryview(self.segments[region.segment])[region.offset : region.offset + size * math.prod(shape)]
        return data.cast("B").cast(kind, shape)


def _handler(objective, request, method):
    def call(message, context):
        try:
            return getattr(objective, method)(message)
        except Exception as error:  # shown to the user, never retried
            import traceback

            traceback.print_exc()
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{type(error).__name__}: {error}")

    return grpc.unary_unary_rpc_method_handler(
        call, request_deserializer=request.FromString, response_serializer=lambda reply: reply.SerializeToString()
    )


def _raw(reply, after=None):
    """Answers a call of go-plugin's own services, whose messages are not worth a proto file."""

    def call(request, context):
        if after:
            threading.Timer(0.05, after).start()
        return reply

    return grpc.unary_unary_rpc_method_handler(call)


def _watch_lifeline():
    """Ends the process when the host is gone, however it went: the pipe it holds open ends."""
    fd = int(os.environ.get("VITTOOL_LIFELINE", "0"))
    if fd >= 3:

        def wait():
            while os.read(fd, 1):
                pass
            os._exit(0)

        threading.Thread(target=wait, daemon=True).start()


def serve(objective):
    if os.environ.get("VITTOOL_OBJECTIVE") != "vittool.objective.v1":
        sys.exit("This is a plugin of vittool. Use it with: vittool pretrain objective.plugin=" + sys.argv[0])
    _watch_lifeline()
    calls = {name: _handler(objective, request, method) for name, (request, method) in CALLS.items() if hasattr(objective, method)}
    calls["Close"] = grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 64 << 20)])
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler(SERVICE, calls),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": _raw(b"\x08\x01")}),  # SERVING
        grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": _raw(b"", after=lambda: os._exit(0))}),
    ))
    path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "python")
    server.add_insecure_port("unix:" + path)
    server.start()
    # The handshake: versions of go-plugin's protocol and of ours, where we listen, how we talk.
    print(f"1|1|unix|{path}|grpc", flush=True)
    sys.stdout = sys.stderr  # from here on a print is a line in the log
    server.wait_for_termination()
