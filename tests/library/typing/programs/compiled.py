"""The compiler under PyTorch's name, in place of the model."""

import minicnn as torch
from minicnn import Tensor, nn


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.register_buffer("steps", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.norm(self.conv(x)))


net = Block(4)
net = torch.compile(net)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(2):
    out = net(torch.randn(2, 4, 8, 8))
    optimizer.zero_grad()
    out.pow(2).mean().backward()
    optimizer.step()
net.eval()
with torch.no_grad():
    features = net(torch.randn(1, 4, 8, 8))
print(features.shape, net.conv.weight.shape, net.steps)
