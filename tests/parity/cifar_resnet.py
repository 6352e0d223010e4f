"""ResNet-18 for 32 x 32 images in plain torch.nn, with torchvision's names: the counterpart of worker/model/cifar-resnet.ts."""

import torch
from torch import nn

STAGES = [(64, 2), (128, 2), (256, 2), (512, 2)]


def conv(inputs, outputs, size, stride):
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        inner = self.relu(self.bn1(self.conv1(x)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(inner)) + shortcut)


class CifarResnet(nn.Module):
    """Logits of images [rows, 3, size, size]."""

    def __init__(self, stages=STAGES, labels=10):
        super().__init__()
        inputs = stages[0][0]
        self.conv1, self.bn1 = conv(3, inputs, 3, 1), nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU(inplace=True)
        for number, (outputs, depth) in enumerate(stages):
            blocks = []
            for index in range(depth):
                blocks.append(BasicBlock(inputs, outputs, 2 if index == 0 and number > 0 else 1))
                inputs = outputs
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        self.stages = len(stages)
        self.fc = nn.Linear(inputs, labels)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        for number in range(self.stages):
            x = getattr(self, f"layer{number + 1}")(x)
        return self.fc(torch.mean(x, (2, 3)))
