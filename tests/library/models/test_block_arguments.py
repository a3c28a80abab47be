"""PyTorch's ``_make_layer``, positional arguments and all, builds every residual network."""

import pytest

from minicnn import nn
from minicnn.models.deformable import DeformableResNet
from minicnn.models.resnet import BasicBlock, Bottleneck, ResNet, conv1x1
from minicnn.models.senet import SEBasicBlock, SEBottleneck


def as_pytorch_has_it(self, block, planes, blocks, stride=1, dilate=False):
    norm_layer = self._norm_layer
    downsample, previous_dilation = None, self.dilation
    if dilate:
        self.dilation *= stride
        stride = 1
    if stride != 1 or self.inplanes != planes * block.expansion:
        downsample = nn.Sequential(
            conv1x1(self.inplanes, planes * block.expansion, stride), norm_layer(planes * block.expansion)
        )
    layers = [
        block(self.inplanes, planes, stride, downsample, self.groups, self.base_width, previous_dilation, norm_layer)
    ]
    self.inplanes = planes * block.expansion
    for _ in range(1, blocks):
        layers.append(block(self.inplanes, planes, groups=self.groups, base_width=self.base_width,
                            dilation=self.dilation, norm_layer=norm_layer))  # fmt: skip
    return nn.Sequential(*layers)


NETWORKS = [
    (ResNet, BasicBlock, {}),
    (ResNet, SEBasicBlock, {}),
    (DeformableResNet, BasicBlock, {}),
    *[
        (network, block, {"groups": 2, "width_per_group": 32, "replace_stride_with_dilation": (False, False, True)})
        for network, block in ((ResNet, Bottleneck), (ResNet, SEBottleneck), (DeformableResNet, Bottleneck))
    ],
]


@pytest.mark.parametrize(("network", "block", "options"), NETWORKS)
def test_pytorchs_make_layer_builds_the_same_network(network, block, options):
    pytorchs = type("PyTorchs", (network,), {"_make_layer": as_pytorch_has_it})
    with nn.init.skip():
        got, expected = (build(block, (1, 2, 1, 2), 5, **options) for build in (pytorchs, network))
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (got, expected)]
    assert shapes[0] == shapes[1]
    assert list(shapes[0]) == list(shapes[1])
    assert repr(got).replace("PyTorchs", network.__name__) == repr(expected)
