"""Weights of one network in another: state_dict, files, frozen layers, a new last layer."""

import minicnn as torch
from minicnn import models, nn, optim

source = models.resnet20(num_classes=10)
torch.save(source.state_dict(), "resnet20.safetensors")
weights = torch.load("resnet20.safetensors", map_location="cpu")

net = models.resnet20(num_classes=10)
missing, unexpected = net.load_state_dict(weights)
assert not missing and not unexpected
for name, parameter in net.named_parameters():
    if not name.startswith("layer3"):
        parameter.requires_grad = False
net.fc = nn.Linear(net.fc.in_features, 3)
net.fc.apply(lambda module: None)

trainable = [p for p in net.parameters() if p.requires_grad]
optimizer = optim.AdamW(
    [{"params": net.fc.parameters(), "lr": 1e-2}, {"params": net.layer3.parameters()}], lr=1e-3, weight_decay=0.01
)
images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
loss = nn.functional.cross_entropy(net(images), labels)
loss.backward()
nn.utils.clip_grad_norm_(trainable, 1.0)
optimizer.step()
state = {key: value.clone() for key, value in net.state_dict().items()}
net.double().float().eval()
print(len(state), net.fc.weight.shape, optimizer.param_groups[0]["lr"])
