"""Homework 5, senet.py: the holes, filled in another way."""

from minicnn import nn


class SqueezeExcitation:
    def gates(self, x):
        n, channels = x.shape[:2]
        z = x.reshape(n, channels, -1).sum(-1) / (x.shape[2] * x.shape[3])
        z = self.fc2(self.activation(self.fc1(z.reshape(n, channels, 1, 1))))
        return 1 / (1 + (-z).exp())

    def forward(self, x):
        gates = self.gates(x).expand(*x.shape)
        return gates * x


class SEBasicBlock:
    def forward(self, x):
        out = nn.functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out = out * self.se.gates(out)
        if self.downsample is not None:
            x = self.downsample(x)
        return nn.functional.relu(out + x)


class SEBottleneck:
    def forward(self, x):
        out = x
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2)):
            out = nn.functional.relu(norm(conv(out)))
        out = self.se(self.bn3(self.conv3(out)))
        return nn.functional.relu(out + (self.downsample(x) if self.downsample is not None else x))
