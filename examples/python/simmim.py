#!/usr/bin/env python3
"""SimMIM as a plugin in Python, over the protocol alone.

Squares of the image are replaced by a learned token, and one linear layer predicts their
pixels (Xie et al. 2021, https://arxiv.org/abs/2111.09886). The network, the loss and their
gradients run in the host; this program describes them and draws the masks.
"""

import json
import math
import random

from vittool_plugin import pb, serve


class SimMIM:
    def describe(self, request):
        return pb.Description(
            name="simmim-python",
            version="1.0.0",
            summary="SimMIM: hide squares behind a learned token, predict their pixels linearly",
            paper="Xie et al., SimMIM, 2021, https://arxiv.org/abs/2111.09886",
            license="Apache-2.0",
            options=[
                pb.Option(key="mask_ratio", type=pb.Option.TYPE_FLOAT, default_json="0.6", min=0, max=1, exclusive_min=True,
                          exclusive_max=True, help="share of the image that is masked"),
                pb.Option(key="block_size", type=pb.Option.TYPE_INT, default_json="32", min=1,
                          help="side of a masked square in pixels, a multiple of the patch"),
            ],
        )

    def open(self, request):
        backbone, options = request.backbone, json.loads(request.config_json)
        self.ratio, block = options["mask_ratio"], options["block_size"]
        self.rows, self.cols = backbone.grid_h, backbone.grid_w
        self.side = block // backbone.patch
        if block % backbone.patch or self.rows % self.side or self.cols % self.side:
            raise ValueError(f"block_size {block} must be a multiple of the patch ({backbone.patch}) "
                             f"and divide {backbone.image_h}x{backbone.image_w} pixels")
        dim, values = backbone.dim, backbone.patch**2 * backbone.channels
        masked = pb.Ref(mask=pb.MaskRef(mask="mask", form=pb.MaskRef.FORM_REMOVED))

        def argument(name, **ref):
            return pb.Argument(name=name, ref=pb.Ref(**ref))

        return pb.Plan(
            operator_version=1,
            views=[pb.ViewSpec(name="image", scale_min=0.67, scale_max=1,
                               augmentations=[pb.Augmentation(flip=pb.Augmentation.Flip(probability=0.5))])],
            masks=[pb.MaskSpec(name="mask", view="image", kind=pb.MaskSpec.KIND_BITMAP, rows=self.rows, cols=self.cols)],
            passes=[pb.PassSpec(name="encoder", views=["image"], mask_use=pb.PassSpec.MASK_USE_TOKEN, masks=["mask"],
                                mask_token="mask_token", outputs=[pb.OUTPUT_PATCHES])],
            params=[
                pb.ParamSpec(name="mask_token", shape=[1, 1, dim], decay=True,
                             init=pb.Init(kind=pb.Init.KIND_TRUNC_NORMAL, a=0.02, b=0.02)),
                pb.ParamSpec(name="decoder.weight", shape=[values, dim], decay=True, init=pb.Init(kind=pb.Init.KIND_XAVIER_UNIFORM)),
                pb.ParamSpec(name="decoder.bias", shape=[values], init=pb.Init(kind=pb.Init.KIND_ZEROS)),
            ],
            nodes=[
                pb.Node(name="pixels", op="linear", inputs=[
                    argument("x", feature=pb.Feature(output=pb.OUTPUT_PATCHES, **{"pass": "encoder"})),
                    argument("weight", param="decoder.weight"),
                    argument("bias", param="decoder.bias"),
                ]),
                pb.Node(name="target", op="patchify", inputs=[argument("images", view="image")],
                        attributes=[pb.Attribute(name="patch", int=backbone.patch), pb.Attribute(name="order", string="chw")]),
                pb.Node(name="loss", op="patch_l1", inputs=[
                    argument("prediction", node="pixels"), argument("target", node="target"), pb.Argument(name="mask", ref=masked)]),
            ],
            results=pb.Results(loss=pb.Ref(node="loss")),
        )

    def mask(self, request):
        bitmap = bytearray()
        across = self.cols // self.side
        blocks = self.rows // self.side * across
        for sample in request.sample_ids:
            # A function of seed, step and sample alone: the same call gives the same mask in any process.
            draw = random.Random(f"{request.seed} {request.step} {sample}")
            masked = set(draw.sample(range(blocks), math.ceil(blocks * self.ratio)))
            for row in range(self.rows):
                for col in range(self.cols):
                    bitmap.append(row // self.side * across + col // self.side in masked)
        return pb.MaskReply(step=request.step, sets=[pb.MaskSet(name="mask", bitmap=bytes(bitmap))])


if __name__ == "__main__":
    serve(SimMIM())
