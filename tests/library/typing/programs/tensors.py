"""Tensors as homework uses them: making, shaping, indexing, comparing, computing."""

import numpy as np

import minicnn as torch
from minicnn import Tensor

torch.manual_seed(1)
x = torch.randn(2, 3, 4, requires_grad=True)
n, c, *_ = x.shape
flat: Tensor = x.reshape(n, -1) + x.view(n, c * 4) - x.flatten(1)
flat = flat.view(-1, x.size(1), 4).permute(0, 2, 1).contiguous().transpose(1, 2).reshape((2, 12))
total: Tensor = x.sum(1).sum(dim=(0, 1), keepdim=False) + x.mean() + x.var(unbiased=False) + x.std(dim=0).sum()
values, indices = x.max(1)
smallest: Tensor = x.min(dim=-1).values
both = torch.max(x, 2 * x)
ordered, order = torch.sort(x, dim=1, descending=True)
mask = (x > 0) & (x <= 2.0) | ~(x != 0)
kept: Tensor = x[mask]
corner = x[0, :, 1:3][..., None].squeeze(-1).unsqueeze(0)
picked = x[torch.tensor([0, 1]), 1]
rows = torch.cat([x[:1], x[1:]], dim=0)
layers = torch.stack((rows, x), dim=1).unbind(1)
parts = x.chunk(2, dim=2)
half = 1.0 / (1 + torch.exp(-x)) * 2 ** x.abs().clamp(min=0.1, max=1) // 1 % 3 - np.float32(2) + x / 3
product = x @ x.transpose(1, 2) + torch.matmul(x, x.mT) + x.matmul(x.mT)
where = torch.where(x > 0, x, torch.zeros_like(x)).masked_fill(mask, float("-inf"))
weights = torch.zeros(3, 4, dtype=torch.float64, device="cpu")
weights[0] = 1
weights[:, 1] += torch.arange(3).to(weights)
weights.add_(1).mul_(2.0).clamp_(0, 5)
counts = torch.ones((2, 2), dtype=torch.int64).float().double().long().int().bool()
numbers: np.ndarray = weights.numpy()
back = torch.from_numpy(np.linspace(0, 1, 5, dtype=np.float32)).to("cpu", torch.float32)
gathered = x.gather(1, indices[:, None])
steps: list[int] = [int(i) for i in torch.randperm(4)]
text = f"{total.item():.3f} {back.dtype} {weights.device}"
with torch.no_grad():
    x -= 0.1 * x
norm: Tensor = x.norm() + torch.nn.functional.pad(x, (1, 1)).sum() + torch.tensor(1.0)
norm.backward(retain_graph=True)
assert x.grad is not None
x.grad.zero_()
print(text, len(kept), corner.shape, len(layers), len(parts), smallest.shape, both.requires_grad, torch.is_tensor(half))
print(ordered.shape, order.shape, picked.shape, product.ndim, counts.all(), numbers.shape, gathered.T.shape, steps)
print(values.detach().cpu().numpy(), where.isinf().any(), flat.data.tolist()[0][0], torch.equal(x, x), x is not None)
