"""The part "policy": steps of the LSTM walk, alone and with their gradient, against Python loops over PyTorch's LSTMCell."""

import sys

from measure import cpu_seconds, keep_best, last_json, load, output_of

STEPS = 50
BOUND = 10.0


class Rival:
    """The same walk as people write it: a module called step by step, a Bernoulli sample, autograd."""

    def __init__(self, rollouts, hidden, features):
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.cell = torch.nn.LSTMCell(features + 4, hidden)
        self.output = torch.nn.Linear(hidden, 1)
        self.inputs = torch.randn(STEPS, rollouts, features + 4)
        self.rollouts, self.hidden = rollouts, hidden

    def walk(self):
        torch = self.torch
        state = (torch.zeros(self.rollouts, self.hidden), torch.zeros(self.rollouts, self.hidden))
        log_p = torch.zeros(self.rollouts)
        for inputs in self.inputs:
            state = self.cell(inputs, state)
            logits = BOUND * torch.tanh(self.output(state[0]).squeeze(1) / BOUND)
            law = torch.distributions.Bernoulli(logits=logits)
            log_p = log_p + law.log_prob(law.sample())
        return log_p

    def forward(self):
        with self.torch.no_grad():
            self.walk()

    def with_gradient(self):
        self.walk().mean().backward()


class Sequence:
    """nn.LSTM over the whole sequence, which cannot sample on its way."""

    def __init__(self, rollouts, hidden, features):
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.lstm = torch.nn.LSTM(features + 4, hidden)
        self.inputs = torch.randn(STEPS, rollouts, features + 4)

    def forward(self):
        with self.torch.no_grad():
            self.lstm(self.inputs)


def policy(bench):
    """Steps of a walk over 32 rollouts, hidden 32; hidden 128 against nn.LSTM; and how walks grow."""
    features = 16
    for rows in (10**4, 10**5, 10**6):  # first: a program that a large process starts seems as large
        line = last_json(output_of([bench.program("policy"), "--candidates", rows, "--features", features, "--rollouts", 1,
                                    "--picks", 10, "--truncation", 64, "--repeats", 1]))
        yield line | {"load": load()}
    try:
        rivals = {"lstm_cell": Rival(32, 32, features)}
        sequence = Sequence(16, 128, features)
    except ImportError as error:
        print(f"policy: {error} in .venv-bench, rivals left out", file=sys.stderr)
        rivals, sequence = {}, None
    program = [bench.program("policy"), "--candidates", STEPS, "--features", features]
    best = {}
    for _ in range(3):
        line = last_json(output_of([*program, "--repeats", 50]))
        times = {name: line[name] for name in ("step_s", "gradient_step_s")}
        for rival in rivals.values():
            times["lstm_cell_step_s"] = min(cpu_seconds(rival.forward) for _ in range(5)) / STEPS
            times["lstm_cell_gradient_step_s"] = min(cpu_seconds(rival.with_gradient) for _ in range(5)) / STEPS
        keep_best(best, times)
    yield line | best | {"load": load()}

    best = {}
    for _ in range(3):
        line = last_json(output_of([*program, "--hidden", 128, "--rollouts", 16, "--repeats", 20, "--gradient", "no"]))
        times = {"step_s": line["step_s"]}
        if sequence:
            times["lstm_step_s"] = min(cpu_seconds(sequence.forward) for _ in range(5)) / STEPS
        keep_best(best, times)
    yield line | best | {"load": load()}
