"""Optimisers and learning rates."""

import minicnn as torch
from minicnn import nn
from minicnn.optim import SGD, Adam, lr_scheduler
from minicnn.optim.lr_scheduler import CosineAnnealingLR, LinearLR, MultiStepLR, ReduceLROnPlateau, SequentialLR

net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer = Adam(net.parameters(), lr=1e-2, betas=(0.9, 0.99))
warmup = LinearLR(optimizer, start_factor=0.1, total_iters=2)
scheduler = SequentialLR(optimizer, [warmup, CosineAnnealingLR(optimizer, T_max=8)], milestones=[2])
x, y = torch.randn(16, 4), torch.randn(16, 1)


def closure() -> torch.Tensor:
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    return loss


losses: list[float] = []
for _ in range(4):
    losses.append(float(optimizer.step(closure)))
    scheduler.step()
    nn.utils.clip_grad_norm_(net.parameters(), max_norm=5.0)

plain = SGD(net[0].parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
steps = MultiStepLR(plain, milestones=[2, 4], gamma=0.1)
lr_scheduler.StepLR(plain, step_size=30)
lr_scheduler.LambdaLR(plain, lambda epoch: 0.95**epoch)
plateau = ReduceLROnPlateau(plain, patience=1)
for epoch in range(3):
    plain.step()
    steps.step()
    plateau.step(losses[epoch])
for group in plain.param_groups:
    group["lr"] *= 0.5
saved = optimizer.state_dict()
optimizer.load_state_dict(saved)
print(losses[-1] < losses[0], scheduler.get_last_lr(), steps.get_last_lr())
