"""What students write in between: checks by NumPy, loops over layers, sums of losses, pictures of numbers."""

import math
from collections import OrderedDict

import numpy as np

import minicnn as torch
import minicnn.nn.functional as F
from minicnn import nn


class Residual(nn.Module):
    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.scale = nn.Parameter(torch.ones(1))
        self.branches = nn.ModuleDict({"short": nn.Identity()})

    def forward(self, x):
        out = x
        for layer in self.layers:
            out = layer(out)
        return self.branches["short"](x) + self.scale * out


class Counting(Residual):
    calls = 0

    def forward(self, x, verbose=False):
        self.calls += 1
        if verbose:
            print(x.shape)
        return super().forward(x)


def init_weights(m: nn.Module) -> None:
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight)
        m.bias.data.fill_(0.01)


def hook(module: nn.Linear, inputs, output):
    print(module.out_features, inputs[0].shape, output.shape)


def accuracy(output: torch.Tensor, target: torch.Tensor, topk=(1,)) -> list[float]:
    _, pred = output.topk(max(topk), 1, True)
    correct = pred.t().eq(target.view(1, -1).expand_as(pred.t()))
    return [correct[:k].reshape(-1).float().sum(0).mul(100.0 / target.size(0)).item() for k in topk]


body = nn.Sequential(OrderedDict([("fc", nn.Linear(4, 4)), ("act", nn.ReLU())]))
body.apply(init_weights)
handle = body.fc.register_forward_hook(hook)
net = Counting(body, *[nn.Linear(4, 4) for _ in range(2)])
x = torch.randn(6, 4)
target = torch.randint(0, 4, (6,))
y = net(x, verbose=True)
handle.remove()

losses = [F.cross_entropy(net(part), label) for part, label in zip(x.split(3), target.split(3), strict=True)]
loss = sum(losses) / len(losses)
assert isinstance(loss, torch.Tensor)
loss.backward()
history = {"loss": [round(loss.item(), 3)], "norm": [float(p.norm()) for p in net.parameters()]}
with torch.no_grad():
    for p in net.parameters():
        if p.grad is not None:
            p -= 0.1 * p.grad
            p.grad = None

image = np.asarray(x.detach())
expected = np.maximum(image, 0)
np.testing.assert_allclose(F.relu(x).detach().numpy(), expected)
assert torch.allclose(F.relu(x), torch.from_numpy(expected))
if (y > 0).any() and not y.isnan().any() and math.isfinite(loss):
    best = max(losses)
    print(f"{best:.2f} {loss.item():.3f} {len(body)} {sorted(history)}")
for row, (a, b) in enumerate(zip(x, y, strict=True)):
    assert a.shape == b.shape == x[row].shape
grid = torch.zeros(*x.shape) + torch.zeros(x.shape) + torch.full((6, 1), 2)
grid[::2, [0, 1]] = x[::2, :2]
grid[grid == 2] = 0
columns = x.sum(-1, keepdim=True) + torch.sum(x, dim=1)[:, None] + x.mean([0, 1]) + x.std(0, keepdim=True)
flags = {p.requires_grad for p in net.parameters()}
sizes = [list(p.shape) for p in net.state_dict().values()]
kernel = torch.tensor([[1.0, 0.0], [0.0, -1.0]])[None, None].repeat(2, 1, 1, 1)
edges = F.conv2d(torch.rand(1, 1, 5, 5), kernel, bias=None, stride=1, padding=1)
pooled = F.max_pool2d(edges, 2).view(edges.size(0), -1)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1) if len(sizes) > 2 else nn.MSELoss()
print(accuracy(y, target, topk=(1, 2)), columns.shape, flags, pooled.shape, torch.argmax(y, dim=1), criterion)
