"""A finished network: scores, hooks, a summary."""

from typing import Any

import minicnn
import minicnn as torch
from minicnn import models, nn

seen: dict[str, tuple[int, ...]] = {}


def remember(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
    seen[type(module).__name__] = output.shape


@torch.no_grad()
def scores(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return net(images).softmax(dim=1)


@torch.inference_mode()
def labels(net: nn.Module, images: torch.Tensor) -> list[int]:
    return net(images).argmax(1).tolist()


net = models.create_model("resnet20", num_classes=4).eval()
handle = net.register_forward_hook(remember)
images = torch.rand(2, 3, 32, 32)
p = scores(net, images)
handle.remove()
values, indices = p.topk(2)
best, where = p.max(1)
assert bool((best == values[:, 0]).all())
assert labels(net, images) == where.tolist()
for _name, child in net.named_children():
    assert isinstance(child, nn.Module)

googlenet = models.googlenet(num_classes=4).train()
out = googlenet(torch.rand(1, 3, 224, 224)[:, :, ::2, ::2].repeat(2, 1, 2, 2))
main = out[0] if isinstance(out, tuple) else out
print(minicnn.summary(models.resnet18(num_classes=4)), models.list_models()[:3], seen, len(main))
