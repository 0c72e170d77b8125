"""The networks in torch, with torchvision's names of modules and parameters.

Small restatements to compare with, in evaluation mode; ReLUs are not in place, so that
a hook sees what each module returned.
"""

import math

import torch
from torch import nn


class AlexNet(nn.Module):
  def __init__(self):
    super().__init__()
    self.features = nn.Sequential(
      nn.Conv2d(3, 64, 11, stride=4, padding=2),
      nn.ReLU(),
      nn.MaxPool2d(3, 2),
      nn.Conv2d(64, 192, 5, padding=2),
      nn.ReLU(),
      nn.MaxPool2d(3, 2),
      nn.Conv2d(192, 384, 3, padding=1),
      nn.ReLU(),
      nn.Conv2d(384, 256, 3, padding=1),
      nn.ReLU(),
      nn.Conv2d(256, 256, 3, padding=1),
      nn.ReLU(),
      nn.MaxPool2d(3, 2),
    )
    self.avgpool = nn.AdaptiveAvgPool2d(6)
    self.classifier = nn.Sequential(
      nn.Dropout(),
      nn.Linear(256 * 6 * 6, 4096),
      nn.ReLU(),
      nn.Dropout(),
      nn.Linear(4096, 4096),
      nn.ReLU(),
      nn.Linear(4096, 1000),
    )

  def forward(self, images):
    return self.classifier(self.avgpool(self.features(images)).flatten(1))


class Vgg(nn.Module):
  """Without its classifier unless `head`: 120 million numbers, always the same."""

  def __init__(self, layers, *, normalized, head):
    super().__init__()
    features, channels = [], 3
    for layer in layers.split():
      if layer == "M":
        features.append(nn.MaxPool2d(2, 2))
        continue
      features.append(nn.Conv2d(channels, int(layer), 3, padding=1))
      if normalized:
        features.append(nn.BatchNorm2d(int(layer)))
      features.append(nn.ReLU())
      channels = int(layer)
    self.features = nn.Sequential(*features)
    self.avgpool = nn.AdaptiveAvgPool2d(7)
    self.classifier = None
    if head:
      self.classifier = nn.Sequential(
        nn.Linear(512 * 7 * 7, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 1000),
      )

  def forward(self, images):
    maps = self.avgpool(self.features(images))
    return maps if self.classifier is None else self.classifier(maps.flatten(1))


class BasicBlock(nn.Module):
  expansion = 1

  def __init__(self, inputs, width, stride):
    super().__init__()
    self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    self.relu = nn.ReLU()
    self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(width)
    self.downsample = downsample(inputs, width, stride)

  def forward(self, inputs):
    maps = self.relu(self.bn1(self.conv1(inputs)))
    maps = self.bn2(self.conv2(maps))
    return self.relu(maps + (self.downsample(inputs) if self.downsample else inputs))


class Bottleneck(nn.Module):
  expansion = 4

  def __init__(self, inputs, width, stride):
    super().__init__()
    self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(width)
    self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
    self.bn3 = nn.BatchNorm2d(4 * width)
    self.relu = nn.ReLU()
    self.downsample = downsample(inputs, 4 * width, stride)

  def forward(self, inputs):
    maps = self.relu(self.bn1(self.conv1(inputs)))
    maps = self.relu(self.bn2(self.conv2(maps)))
    maps = self.bn3(self.conv3(maps))
    return self.relu(maps + (self.downsample(inputs) if self.downsample else inputs))


def downsample(inputs, outputs, stride):
  if stride == 1 and inputs == outputs:
    return None
  conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
  return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
  def __init__(self, block, depths):
    super().__init__()
    self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    self.bn1 = nn.BatchNorm2d(64)
    self.relu = nn.ReLU()
    self.maxpool = nn.MaxPool2d(3, 2, 1)
    inputs = 64
    for index, depth in enumerate(depths):
      width, blocks = 64 * 2**index, []
      for place in range(depth):
        blocks.append(block(inputs, width, 2 if index and not place else 1))
        inputs = width * block.expansion
      setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
    self.avgpool = nn.AdaptiveAvgPool2d(1)
    self.fc = nn.Linear(inputs, 1000)

  def forward(self, images):
    maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
    maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
    return self.fc(self.avgpool(maps).flatten(1))


class SameConv2d(nn.Conv2d):
  """TensorFlow's padding: what cannot be shared goes to the bottom and the right."""

  def forward(self, inputs):
    pads = []
    for axis in (3, 2):  # torch pads the last axis first
      side, size, stride = inputs.shape[axis], self.weight.shape[axis], self.stride[0]
      windows = math.ceil(side / stride)
      total = max(0, (windows - 1) * stride + size - side)
      pads += [math.floor(total / 2), math.ceil(total / 2)]
    return super().forward(nn.functional.pad(inputs, pads))


class InvertedResidual(nn.Module):
  def __init__(self, inputs, outputs, size, stride, expansion):
    super().__init__()
    width = inputs * expansion
    if expansion > 1:
      self._expand_conv = nn.Conv2d(inputs, width, 1, bias=False)
      self._bn0 = nn.BatchNorm2d(width, eps=1e-3)
      self._act0 = nn.ReLU6()
    self._depthwise_conv = SameConv2d(
      width, width, size, stride, groups=width, bias=False
    )
    self._bn1 = nn.BatchNorm2d(width, eps=1e-3)
    self._act1 = nn.ReLU6()
    self._project_conv = nn.Conv2d(width, outputs, 1, bias=False)
    self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3)
    self.skips = stride == 1 and inputs == outputs

  def forward(self, inputs):
    maps = inputs
    if hasattr(self, "_expand_conv"):
      maps = self._act0(self._bn0(self._expand_conv(maps)))
    maps = self._act1(self._bn1(self._depthwise_conv(maps)))
    maps = self._bn2(self._project_conv(maps))
    return maps + inputs if self.skips else maps


# Of each stage: features, blocks; as the shapes of the released weights tell.
_LITE_STAGES = {
  "efficientnet-lite0": "16x1 24x2 40x2 80x3 112x3 192x4 320x1",
  "efficientnet-lite1": "16x1 24x3 40x3 80x4 112x4 192x5 320x1",
  "efficientnet-lite2": "16x1 24x3 48x3 88x4 120x4 208x5 352x1",
}
_LITE_SIZES, _LITE_STRIDES = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1)


class EfficientNetLite(nn.Module):
  """Names as in the released weights, underscores and all."""

  def __init__(self, stages):
    super().__init__()
    self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
    self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
    self._act0 = nn.ReLU6()
    before, blocks = 32, []
    for stage, size, stride in zip(
      stages.split(), _LITE_SIZES, _LITE_STRIDES, strict=True
    ):
      features, depth = map(int, stage.split("x"))
      for place in range(depth):
        expansion = 6 if blocks else 1
        step = 1 if place else stride
        blocks.append(InvertedResidual(before, features, size, step, expansion))
        before = features
    self._blocks = nn.ModuleList(blocks)
    self._conv_head = nn.Conv2d(before, 1280, 1, bias=False)
    self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
    self._act1 = nn.ReLU6()
    self._avg_pooling = nn.AdaptiveAvgPool2d(1)
    self._fc = nn.Linear(1280, 1000)

  def forward(self, images):
    maps = self._act0(self._bn0(self._conv_stem(images)))
    for block in self._blocks:
      maps = block(maps)
    maps = self._act1(self._bn1(self._conv_head(maps)))
    return self._fc(self._avg_pooling(maps).flatten(1))


_VGG_LAYERS = {
  "vgg11": "64 M 128 M 256 256 M 512 512 M 512 512 M",
  "vgg13": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
  "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
  "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}
_RESNETS = {
  "resnet18": (BasicBlock, (2, 2, 2, 2)),
  "resnet34": (BasicBlock, (3, 4, 6, 3)),
  "resnet50": (Bottleneck, (3, 4, 6, 3)),
  "resnet101": (Bottleneck, (3, 4, 23, 3)),
  "resnet152": (Bottleneck, (3, 8, 36, 3)),
}


def network(name, *, head=True):
  """A network in evaluation mode; `head=False` matters to VGG alone."""
  if name == "alexnet":
    module = AlexNet()
  elif name in _LITE_STAGES:
    module = EfficientNetLite(_LITE_STAGES[name])
  elif name in _RESNETS:
    module = ResNet(*_RESNETS[name])
  else:
    layers = _VGG_LAYERS[name.removesuffix("_bn")]
    module = Vgg(layers, normalized=name.endswith("_bn"), head=head)
  return module.eval()


def randomise(module, seed=0):
  """Random statistics, so that a batch norm left out, or half read, shows."""
  generator = torch.Generator().manual_seed(seed)
  with torch.no_grad():
    for part in module.modules():
      if isinstance(part, nn.Conv2d):
        fan_in = part.weight[0].numel()
        part.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
      if isinstance(part, nn.BatchNorm2d):
        part.running_mean.normal_(0, 0.3, generator=generator)
        part.running_var.uniform_(0.5, 2, generator=generator)
        part.weight.uniform_(0.5, 1.5, generator=generator)
        part.bias.normal_(0, 0.3, generator=generator)
  return module


def activations(module, images, names):
  """What the named modules returned when they were last called, NHWC.

  Args:
    module: the network.
    images: float32 array, NHWC.
    names: dotted names of modules.
  """
  parts = dict(module.named_modules())
  found = {}

  def keep(name):
    return lambda part, inputs, output: found.__setitem__(name, output)

  handles = [parts[name].register_forward_hook(keep(name)) for name in names]
  with torch.no_grad():
    module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
  for handle in handles:
    handle.remove()
  return {
    name: value.permute(0, 2, 3, 1).numpy() if value.ndim == 4 else value.numpy()
    for name, value in found.items()
  }
