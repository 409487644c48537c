"""Wrong answers to the exercises of lesson 02, and what a learner must read."""


def block(forward: str, reads: str = "c_in + i * growth", more: str = "") -> str:
    """A dense block with this constructor argument and this forward."""
    return f"""class MyDenseBlock(nn.Module):
    def __init__(self, c_in, layers, growth):
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer({reads}, growth{more}) for i in range(layers))

    def forward(self, x):
{forward}"""


def forward(*lines: str) -> str:
    return "\n".join(f"        {line}" for line in lines)


RIGHT = forward("for layer in self.layers:", "    x = torch.cat([x, layer(x)], dim=1)", "return x")


def transition(parts: str) -> str:
    return f"""class MyTransition(nn.Sequential):
    def __init__(self, c_in, c_out):
        super().__init__({parts})"""


def counts(**given: int) -> str:
    right = {"channels out": 48, "read by layers.2": 40, "layers.0": 3184, "layers.2": 3728, "all": 10368}
    return f"mine = {right | {name.replace('_', ' ').replace('layers', 'layers.'): n for name, n in given.items()}}"


WRONG: dict[str, list[tuple[str, str]]] = {
    "2.1": [
        (
            block(forward("for layer in self.layers:", "    x = torch.cat([layer(x), x], dim=1)", "return x")),
            r"the right channels in the wrong order",
        ),
        (
            block(
                forward(
                    "made = []",
                    "for layer in self.layers:",
                    "    made.insert(0, layer(torch.cat([x, *made], 1)))",
                    "return torch.cat([x, *made], 1)",
                )
            ),
            r"the newest output stands before the older ones",
        ),
        (
            block(
                forward(
                    "made = [x]",
                    "for layer in self.layers:",
                    "    made.append(layer(torch.cat(made, 1)))",
                    "return torch.cat(made[1:], 1)",
                )
            ),
            r"you returned the new channels only",
        ),
        (
            block(
                forward(
                    "for layer in self.layers:",
                    "    new = layer(x)",
                    "    x = torch.cat([x, new], 1)",
                    "return new",
                )
            ),
            r"you returned the last layer's output only",
        ),
        (block(forward("for layer in self.layers:", "    x = layer(x)", "return x")), r"not only the newest output"),
        (
            block(forward("for layer in self.layers:", "    x = torch.cat([x, layer(x)], dim=0)", "return x")),
            r"on the channel axis \(`torch.cat`, dim=1\)",
        ),
        (block(RIGHT, "c_in + (i + 1) * growth"), r"one growth too many: layer 0 reads x₀ alone"),
        (block(RIGHT, "c_in"), r"Each one before it adds `growth` channels"),
        (
            block(forward("for layer in self.layers:", "    x = layer(x)", "return x"), "growth if i else c_in"),
            r"that is a plain stack",
        ),
        (block(RIGHT, more=", bottleneck=False"), r"you left the bottleneck off"),
        (block(RIGHT).replace("nn.ModuleList(", "list("), r"`nn.ModuleList` shows them"),
        (block(RIGHT.replace("layer(x)]", "layer(x.relu_())]")), r"changes its input"),
        (block(RIGHT).replace("return x", "pass"), r"Is there a `return`"),
    ],
    "2.2": [
        (counts(channels_out=24), r"channels out: 24 is too small\. Those are the new channels"),
        (counts(channels_out=40), r"what the last layer reads"),
        (counts(read_by_layers2=48), r"two have added channels before it, not three"),
        (counts(layers0=3072), r"layers\.0: 3,072 is too small\. You forgot BatchNorm"),
        (counts(layers0=1776), r"That is the plain form"),
        (counts(layers0=832), r"not growth"),
        (counts(layers2=3184), r"layers\.2 reads two growths more"),
        (counts(layers2=4000), r"One growth too many"),
        (counts(all=9552), r"three times layers\.0"),
        (counts(all=6912), r"layers\.1 is missing"),
    ],
    "2.3": [
        (
            transition("nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.MaxPool2d(2)"),
            r"DenseNet takes their mean",
        ),
        (
            transition("nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(), nn.AvgPool2d(2)"),
            r"that is the order of lesson 01's Conv",
        ),
        (
            transition("nn.BatchNorm2d(c_in), nn.Conv2d(c_in, c_out, 1, bias=False), nn.AvgPool2d(2)"),
            r"without it the two are one linear map",
        ),
        (
            transition("nn.BatchNorm2d(c_in), nn.Conv2d(c_in, c_out, 1, bias=False), nn.ReLU(), nn.AvgPool2d(2)"),
            r"you forgot the ReLU between BatchNorm and convolution",
        ),
        (
            transition(
                "nn.BatchNorm2d(c_in), nn.LeakyReLU(.1), nn.Conv2d(c_in, c_out, 1, bias=False), nn.AvgPool2d(2)"
            ),
            r"LeakyReLU is YOLOv5's",
        ),
        (
            transition("nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_out, 1), nn.AvgPool2d(2)"),
            r"the convolution has a bias",
        ),
        (
            transition("nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_out, 1, 2, bias=False)"),
            r"drops the other three",
        ),
        (
            transition("nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False)"),
            r"the grid keeps its size",
        ),
        (
            transition("nn.BatchNorm2d(c_in), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1, bias=False)"),
            r"the convolution is number 2, not 3",
        ),
        (
            transition("nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_out, 1, bias=False), nn.AvgPool2d(2, 1)"),
            r"its windows overlap",
        ),
    ],
}
