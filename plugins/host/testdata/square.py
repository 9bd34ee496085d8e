"""The objective square of the tests in Python: its loss is mean(x*x) over the class tokens of two views."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "examples", "python"))
from vittool_plugin import Memory, pb, serve


class Square:
    def describe(self, request):
        return pb.Description(name="square", version="0.1.0", protocol_minor=1, summary="a test objective", evaluates=True)

    def open(self, request):
        feature = pb.Ref(feature=pb.Feature(output=pb.OUTPUT_CLASS, **{"pass": "encoder"}))
        return pb.Plan(
            operator_version=1,
            views=[pb.ViewSpec(name="one"), pb.ViewSpec(name="two")],
            passes=[pb.PassSpec(name="encoder", views=["one", "two"], outputs=[pb.OUTPUT_CLASS])],
            nodes=[pb.Node(name="loss", op="evaluate", inputs=[pb.Argument(name="x", ref=feature)])],
            evaluate=pb.EvaluateSpec(inputs=[pb.EvaluateInput(name="x", gradient=True)]),
            results=pb.Results(loss=pb.Ref(node="loss")),
        )

    def bind(self, request):
        self.memory = Memory(request)
        return pb.BindReply()

    def evaluate(self, request):
        x = self.memory.tensor(request, pb.Region.ROLE_INPUT, "x")
        dx = self.memory.tensor(request, pb.Region.ROLE_INPUT_GRADIENT, "x")
        rows, columns = x.shape
        loss = 0.0
        for i in range(rows):
            for j in range(columns):
                loss += x[i, j] ** 2 / (rows * columns)
                dx[i, j] = 2 * x[i, j] / (rows * columns)
        return pb.EvaluateReply(step=request.step, loss=loss, metrics=[
            pb.Value(name="gradients", value=dx.shape[0]), pb.Value(name="rows", value=rows)])


if __name__ == "__main__":
    serve(Square())
