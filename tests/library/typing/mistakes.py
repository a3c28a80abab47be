"""Mistakes that an editor should underline: a type checker reports just the lines marked ``# error``. Never run."""

# ruff: noqa: B018
import minicnn as torch
import minicnn.nn.functional as F
from minicnn import models, nn, optim
from minicnn.data import DataLoader, digits
from minicnn.optim.lr_scheduler import StepLR


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        x = self.conv1(x).relu()
        x = self.fc(x.mean((2, 3)), 2)  # error
        return x.flaten(1) * scale  # error


net = Net()
x = torch.randn(2, 1, 8, 8)
x.summ()  # error
x.sum(axes=1)  # error
x.sum("rows")  # error
x.reshape("a")  # error
x.view(2, 1.5)  # error
x.permute(0, None)  # error
x.transpose(1)  # error
x.max(1).value  # error
x.max(1, keepdims=True)  # error
x.grad.zero_()  # error
x.requires_gradd = True  # error
x.to(dtyp=torch.float64)  # error
x.add_()  # error
x.clamp_(minimum=0)  # error
x.T()  # error
y = x + "1"  # error
y = None * x  # error
y = x < [1]  # error
torch.tensr([1.0])  # error
torch.tensor([1.0], requires_gradient=True)  # error
torch.zeros(2, 3, dtyp=torch.float64)  # error
torch.randn("2")  # error
torch.zeros_like([1.0])  # error
torch.cat(x, x)  # error
torch.device()  # error
torch.load()  # error
net(x, scal=2.0)  # error
net()  # error
net("x")  # error
net.conv1.in_channel.bit_count().real.nothing  # not an error: a module's attributes are not known in advance
net.load_state_dict()  # error
net.eval().train("yes")  # error
nn.Conv2d(3)  # error
nn.Conv2d(3, 4, 3, strides=2)  # error
nn.BatchNorm(3)  # error
nn.Linear(4, 10)(x, x)  # error
nn.Sequential(nn.ReLU())(x, x)  # error
F.conv2d(x)  # error
F.relu(x, inplace="yes", dim=1)  # error
F.softmaxx(x, 1)  # error
F.cross_entropy(x, target=x, label_smooth=0.1)  # error
optimizer = optim.SGD(net.parameters(), learning_rate=1)  # error
optim.SGD(net, lr=0.1)  # error for pyright; to mypy a module, with any attribute, is iterable
optim.Adamm(net.parameters())  # error
optimizer.steps()  # error
StepLR(optimizer)  # error
models.resnet81()  # error
models.resnet18()(x).logits  # error
DataLoader(digits("train"), batchsize=4)  # error
digits()  # error
torch.compile(torch.relu)  # error
torch.autograd.gradchek(torch.relu, x)  # error
number: int = x.sum(1)  # error
array: torch.Tensor = x.numpy()  # error
with torch.no_grads():  # error
    pass
