import torch

from workflow_scripts.slpd.head import DinoHead

from . import plain


def head() -> DinoHead:
    torch.manual_seed(0)
    head = DinoHead(8, 16, 4, 50).double()
    for parameter in head.parameters():
        parameter.data += torch.randn_like(parameter)
    return head


def inputs() -> torch.Tensor:
    return 5 * torch.randn(40, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_logits_equal_plain_loops():
    net, x = head(), inputs()
    weights = {f"head.{name}": value for name, value in net.named_parameters()}
    torch.testing.assert_close(net(x), torch.stack([plain.logits(weights, row) for row in x]), rtol=1e-10, atol=1e-10)


def test_projections_are_unit_and_logits_are_cosines():
    net, x = head(), inputs()
    z = net.project(x)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(40, dtype=torch.float64))
    assert net(x).abs().max() <= 1 + 1e-12
    # a unit feature along a row of the last layer has logit 1 there: the rows count with unit norm
    rows = net.last_layer / net.last_layer.norm(dim=1, keepdim=True)
    torch.testing.assert_close(net.logits(rows).diagonal(), torch.ones(50, dtype=torch.float64))


def test_length_of_the_last_layers_rows_does_not_count():
    net, x = head(), inputs()
    before = net(x)
    net.last_layer.data *= torch.linspace(0.1, 9, 50, dtype=torch.float64)[:, None]
    torch.testing.assert_close(net(x), before)
