# %% [markdown]
# # Lesson 3: SRGAN
#
# SRCNN left the carving lost. In 2017 Ledig and others built a far deeper network, SRResNet. Then they trained the very
# same network once more, against an opponent that tells photographs from made pictures. That is SRGAN.
#
# **The question:** where does the sharpness of SRGAN come from, why do the decibels fall, and how much of it may you
# believe?

# %%
import torch

from sr_course import images
from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.lessons import show
from sr_course.zoo import load


def enlarged(hr, names=("bicubic", "srcnn", "srresnet", "srgan")):
    """Shrink a photograph by 4 and let each method enlarge it again."""
    lr = bicubic_lr(hr, 4)
    with torch.no_grad():
        made = {name: load(name)(lr).clamp(0, 1) for name in names}
    return {**made, "original": hr}


panda = enlarged(images.read(photo("red_panda").path))  # each (1, 3, 360, 480), RGB in [0, 1]
show({name: one[..., 110:260, 70:215] for name, one in panda.items()}, zoom=1,
     alt="A red panda's face: soft by bicubic, clearer by SRCNN and SRResNet, crisp fur by SRGAN, and the original")

# %% [markdown]
# SRResNet has the lines right, SRGAN has fur. Is it the fur of this panda?
#
# | | |
# |:--|:--|
# | **You will** | say why deep networks need skips; shuffle pixels by hand and find a checkerboard in a spectrum; play both sides of a GAN; write one adversarial step; diagnose sick runs; find the layers in which two networks part; judge blind; mend four known bugs |
# | **You need** | lesson 2; what a gradient step is |
# | **Time** | 60 to 90 minutes; the cells alone run in under two minutes |
# | **GPU** | not needed |
# | **Photographs** | public domain, CC0 and CC BY: `datasets/CREDITS.md` |
#
# ## Set-up

# %% tags=["nbval-ignore-output"]
# output not compared: it names this machine and the versions on it
import torch.nn.functional as F
from torch import nn

from sr_course.data.pairs import Pairs
from sr_course.data.store import open_data
from sr_course.lessons import figure, results, setup, srgan
from sr_course.metrics import psnr
from sr_course.resample import imresize

setup()
store = open_data("shipped")  # the training photographs
for name in ("red_panda", "charminar", "worms_cathedral"):
    print(photo(name).credit.split(" (")[0])


# %% [markdown]
# ## Deep, with skips
#
# SRCNN has 3 convolutions, SRResNet 37. Why did nobody stack 37 before? Here are sixteen blocks of two. With **skips**, a
# block *adds* what it computes to what came in; without, it replaces it.

# %%
class Stack(nn.Module):
    def __init__(self, skips):
        super().__init__()
        self.skips = skips
        self.head = nn.Conv2d(1, 16, 3, padding=1)
        self.blocks = nn.ModuleList()
        for _ in range(16):
            two = nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)
            self.blocks.append(nn.Sequential(*two))
        self.tail = nn.Conv2d(16, 16, 3, padding=1)

    def forward(self, lr):  # luma, (N, 1, H, W) to (N, 1, 4 * H, 4 * W)
        x = self.head(lr)
        for block in self.blocks:
            x = x + block(x) if self.skips else F.relu(block(x))
        return F.pixel_shuffle(self.tail(x), 4)  # sixteen maps become one of 4 x 4 the size: see below


# %% [markdown]
# **Predict.** In the first step the gradient comes in at the tail and goes back through 16 blocks. How much of it reaches
# the first one: half, a hundredth, a millionth?

# %%
luma_pairs = Pairs(store, scale=4, hr_crop=48, channel="y")
fresh = luma_pairs.batch(1000, range(64))


def train(stack, steps=100):
    """Train; return the gradient's norm at each block in the first step, and the loss on fresh crops at the end."""
    optimizer = torch.optim.Adam(stack.parameters(), lr=1e-3)
    for step in range(steps):
        batch = luma_pairs.batch(step, range(8))
        loss = F.mse_loss(stack(batch.lr), batch.hr)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            norms = [block[0].weight.grad.norm().item() for block in stack.blocks]
        optimizer.step()
    with torch.no_grad():
        return norms, F.mse_loss(stack(fresh.lr), fresh.hr).item()


# %% tags=["nbval-rtol=0.3"]
torch.manual_seed(0)
plain, larger, skips = Stack(skips=False), Stack(skips=False), Stack(skips=True)
for weight in larger.parameters():
    if weight.ndim == 4:
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
with figure("Gradient by block: level with skips, falling steeply without", size=(6, 2.6)) as ax:
    for name, stack in {"no skips": plain, "larger weights": larger, "skips": skips}.items():
        norms, loss = train(stack)
        print(f"{name:15} gradient at block 1 {norms[0]:.0e}, at 16 {norms[-1]:.0e}; loss after 100 steps {loss:.4f}")
        ax.semilogy(range(1, 17), norms, "o-", ms=3, label=name)
    ax.set(xlabel="block", ylabel="gradient norm, first step")
    ax.legend()
print(f"one even grey has a loss of {fresh.hr.var():.4f}")

# %% [markdown]
# Without skips, the first block gets nothing to learn from, and the stack paints one even grey. Larger first weights
# mend the gradient; the stack still lags behind. He et al. (2016) met this too: beyond some depth a plain network trains
# worse, though its gradients are healthy.
#
# A skip does two things. The slope of x + f(x) is 1 + f′(x), so the gradient always finds a way through the 1. And the
# block need only learn what is missing, the **residual**. SRResNet has a short skip around each block and a long one around
# all of them.
#
# ## Enlarge late: sub-pixel convolution
#
# SRCNN works on the enlarged picture. SRResNet works on the small one, at a sixteenth of the cost, and enlarges at the end:
# a convolution makes four maps, and the **pixel shuffle** lays each four values out as a square.
#
# ```
# four maps of 2 x 2                              one of 4 x 4
#  0  1     4  5      8  9     12 13               0  4  1  5
#  2  3     6  7     10 11     14 15               8 12  9 13
#                                                  ?  ?  ?  ?
#                                                  ?  ?  ?  ?
# ```
#
# **Predict** the two rows that are missing.

# %%
maps = torch.arange(16.0).reshape(1, 4, 2, 2)
by_hand = torch.zeros(1, 1, 4, 4)
for k in range(4):
    by_hand[..., k // 2 :: 2, k % 2 :: 2] = maps[:, k : k + 1]  # map k fills one corner of every square
assert torch.equal(by_hand, nn.PixelShuffle(2)(maps))
for row in by_hand[0, 0].int().tolist():
    print(" ".join(f"{value:2}" for value in row))

# %% [markdown]
# No value is computed, they are only moved: all learning is in the convolution before.
#
# The older way is the **transposed convolution**: each pixel stamps its kernel, times its value, onto the large picture, and
# where stamps overlap they add up.
#
# **Predict.** A white picture, 4 x 4 ones. The kernel is 3 x 3 ones, the stamps are 2 pixels apart. Is the result even?

# %%
for size, padding in ((3, 0), (4, 1)):
    stamps = F.conv_transpose2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, size, size), stride=2, padding=padding)
    print(f"kernel {size} x {size}, a row of the middle:", stamps[0, 0, 4].int().tolist())

# %% [markdown]
# With 3 x 3 the overlap alternates, 2, 4, 2, 4: a **checkerboard**, even of equal weights (Odena et al. 2016). With 4 x 4
# all get as many stamps. But what if the weights are random, as at the start of a training? A checkerboard is a wave with a
# period of two pixels: look at the rim of the spectrum.
#
# **Predict.** Which of four first stages shows a checkerboard: transposed 3 x 3, transposed 4 x 4, sub-pixel, sub-pixel
# with ICNR? **ICNR** (Aitken et al. 2017) gives the four kernels of a square the same weights to begin with.

# %%
from sr_course.models.srresnet import icnr_

small = images.luma(bicubic_lr(panda["original"], 4))[..., 15:105]  # (1, 1, 90, 90)


def sub_pixel(icnr):
    conv = nn.Conv2d(1, 4, 3, padding=1)
    if icnr:
        icnr_(conv, 2)
    return nn.Sequential(conv, nn.PixelShuffle(2))


stages = {
    "transposed 3 x 3": lambda: nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1),
    "transposed 4 x 4": lambda: nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1),
    "sub-pixel": lambda: sub_pixel(icnr=False),
    "sub-pixel, ICNR": lambda: sub_pixel(icnr=True),
}

# %% tags=["nbval-atol=1"]
pictures, spectra = {}, {}
for name, stage in stages.items():
    torch.manual_seed(1)
    energy = 0
    for _ in range(20):  # draws of weights
        picture = stage()(small)[..., 8:-8, 8:-8].detach()
        picture = (picture - picture.mean()) / picture.std()
        energy = energy + torch.fft.fft2(picture).abs().square() / picture.numel() ** 2 / 20
    pictures[name] = (0.5 + picture[..., 24:106, 10:92] / 5).clamp(0, 1)
    half = energy.shape[-1] // 2
    rim = energy[..., half, 0] + energy[..., 0, half] + energy[..., half, half]
    print(f"{name:17} waves of period 2 hold {100 * rim.item():4.1f}% of the energy")
    spectra[f"spectrum {len(spectra) + 1}"] = (1 + (torch.fft.fftshift(energy) + 1e-9).log10() / 8).clamp(0, 1)
show({**pictures, **spectra}, columns=4,
     alt="An eye enlarged by four fresh stages: a grid, and a spectrum that is bright at its rim too, but not with ICNR")

# %% [markdown]
# All but the last: their spectrum's bright middle comes back at the rim. Sub-pixel convolution has no uneven overlap, so
# training can remove its checkerboard; ICNR never draws it.
#
# ## Batch norm, briefly
#
# **Batch norm** sets each map of a batch to mean 0 and variance 1, then lets the network choose a scale and a shift. In
# training it uses the batch. In evaluation there may be one picture only, so it uses running means.
#
# **Predict,** with a pencil: a fresh layer gets the values 2, 4, 6, 8. What comes out in training? And right after it, in
# evaluation?

# %%
values = torch.tensor([2, 4, 6, 8.0])
layer = nn.BatchNorm1d(1)
in_training = layer.train()(values[:, None]).squeeze()
in_evaluation = layer.eval()(values[:, None]).squeeze()
mean, variance = values.mean(), values.var(correction=0)
running_mean, running_variance = 0.9 * 0 + 0.1 * mean, 0.9 * 1 + 0.1 * values.var()  # they began at 0 and 1
assert torch.allclose(in_training, (values - mean) / (variance + 1e-5).sqrt())
assert torch.allclose(in_evaluation, (values - running_mean) / (running_variance + 1e-5).sqrt())
for name, result in {"training": in_training, "evaluation": in_evaluation}.items():
    print(f"{name:11}" + "".join(f"{value:6.2f}" for value in result.tolist()))

# %% [markdown]
# In training, a picture's result depends on its neighbours in the batch; in evaluation, on running means that may lag.
# Forgetting `eval()` is a classic bug. ESRGAN (lesson 5) does without batch norm.
#
# ## Why squared error blurs
#
# A small grey patch was a stripe: black-white or white-black, each as likely. The small picture cannot tell (lesson 1).
#
# **Predict.** Which answer has the smallest squared error on average: one of the stripes, or something else?

# %%
truths = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0.0]])
guesses = {"stripe": truths[0], "the other stripe": truths[1], "grey": torch.full((4,), 0.5)}
for name, guess in guesses.items():
    print(f"{name:17} squared errors {[(guess - truth).square().mean().item() for truth in truths]}")

# %% [markdown]
# Grey: 0.25 for sure, against 0 or 1. The squared error wants the *mean of all that could be*, and the mean of many
# textures is smooth. No depth changes that. To get texture, the loss must prefer "one of them" to "the mean of them". A
# discriminator does: it has never seen a photograph of a mean.
#
# ## A GAN of one dimension
#
# A **generative adversarial network** (Goodfellow et al. 2014) is two networks in a game. The **discriminator** D says how
# likely a thing is real; the **generator** makes things that D takes for real:
#
# ```
# D minimises   −log D(real) − log(1 − D(made))
# G minimises   −log D(made)
# ```
#
# In our toy the things are numbers. Real ones lie around 1.5, made ones are a·z + b, around b = −2, and
# D(x) = 1 / (1 + exp(−w·x − c)). All begins at w = c = 0: D says one half to everything.
#
# **Predict,** with a pencil. The slope of D's loss by w is mean of (D − 1)·real plus mean of D·made. How large is it? Which
# way does w go with a rate of 0.1? And which way does that pull b?

# %%
from sr_course.lessons.toy_gan import ToyGan

toy = ToyGan(data="one bump", generator="line", discriminator="line", learning_rate=0.1)
real, made = toy.real, toy.samples  # 100 numbers each
slope = ((0.5 - 1) * real).mean() + (0.5 * made).mean()
w = 0 - 0.1 * slope
toy.step_discriminator()
assert abs(w - toy.weights[1]) < 1e-12
pull = ((1 - toy.judge(made)) * w).mean()  # minus the slope of −log D(made) by b
toy.step_generator()
assert abs(toy.parameters[1] - (-2 + 0.1 * pull)) < 1e-12
print(f"slope by w {slope:.3f}, so w becomes {w:.3f}; it pulls b by {pull:.3f}, to {toy.parameters[1]:.4f}")

# %% [markdown]
# −0.5 · 1.5 + 0.5 · (−2) = −1.75: D learns "larger means real", and G moves its numbers up. **The discriminator is a loss
# that is learned while we use it.**
#
# **Task 1.** Step it. (a) Take the discriminator 100 steps, then the generator 100, again and again. What do the samples
# do? (b) Reset, take both 100 steps at a time. What does D(x) look like in the end, and the loss?

# %%
from sr_course.widgets import GanStepper

stepper = GanStepper(learning_rate=0.3)
stepper.step_discriminator(100)
stepper.step_generator(100)
stepper

# %% [markdown]
# <details><summary>Answer</summary>
#
# (a) All samples gather where D is highest, D learns that this place is false, and they hop on, in the end to the other
# bump: **mode collapse**, and a chase. (b) The samples come to cover both bumps. D nears one half everywhere, its loss
# 2·ln 2 = 1.39: it can only guess. A GAN's loss does not fall when all goes well.
#
# </details>
#
# **Task 2.** Set one bump, generator line, discriminator parabola. Take the discriminator 100 steps ahead, then compare the
# pull of the two losses. Which one would you train with?
#
# <details><summary>Answer</summary>
#
# Against a sure discriminator the saturating log(1 − D) hardly pulls: a hundredth of −log D. So SRGAN uses −log D.
#
# </details>
#
# GANs came to do much else: faces from nothing (StyleGAN), pictures to order (conditional GANs), horses into zebras
# (CycleGAN). SRGAN's generator is not given noise but the small picture.
#
# ## SRGAN: two networks
#
# Figure 4 of the paper writes k9n64s1 for a kernel of 9 x 9, 64 maps and a stride of 1.

# %%
from sr_course.models.describe import describe
from sr_course.models.srgan import Discriminator
from sr_course.models.srresnet import SRResNet

as_in_figure_4 = {
    SRResNet(): ["k9n64s1", *["k3n64s1"] * 33, "k3n256s1", "k3n256s1", "k9n3s1"],
    Discriminator(96): [f"k3n{maps}s{stride}" for maps in (64, 128, 256, 512) for stride in (1, 2)],
}
for network, figure_4 in as_in_figure_4.items():
    table = describe(network, 96 if len(figure_4) == 8 else 24).to_text()
    assert [line.split()[2] for line in table.splitlines() if "Conv2d" in line] == figure_4
    rows = [line for line in table.splitlines() if "leaky" not in line and ".bn" not in line]
    print("\n".join([*rows[:5], "...", *rows[-9:]]), end="\n\n")

# %% [markdown]
# Figure 4 ends the generator with k9n3s1. Many implementations, also the weights that we load, add a tanh, which bounds the
# result to [−1, 1], the range of HR in training. The discriminator halves the crop four times while its maps grow from 64
# to 512, as in VGG, with LeakyReLU, and batch norm but in the first layer. Its dense layer holds most of its numbers and
# ties it to one crop size. Figure 4's last sigmoid lives in our loss.
#
# ## The loss, and two phases
#
# ```
# loss of G  =  content  +  0.001 · adversarial
# content       squared difference of VGG19's features of SR and HR, deep in the network, instead of their pixels
# adversarial   −log D(SR)
# ```
#
# **VGG** was trained to name what is in a photograph. Deep in it, a feature says "fur here", not where each hair lies: other
# hair costs little. Lesson 4 opens it up. The paper multiplies the features by 1/12.75, so that the loss has the size of a
# squared error. It leaves open whether to divide by the channels, a factor of 512, and which normalisation 12.75 was found
# for. So 0.001 is another balance in every repository: *log both terms*.
#
# Two phases: 10⁶ steps on the squared error give SRResNet. From there 10⁵ steps against D at a rate of 10⁻⁴, and 10⁵ at
# 10⁻⁵ (Ledig et al. 2017, sec. 3.2). The first phase keeps the generator from poor optima. In each step D moves, then G.
#
# Here is a phase 1 that a laptop can do: SRResNet-S, 12 blocks of 24 maps.

# %%
from sr_course.training.history import read_history, shipped_run
from sr_course.training.log import read_log

phase_1 = [record for record in read_log(shipped_run("srresnet-s_x4")) if record["event"] == "validation"]
with figure("Validation PSNR against minutes: a steep start, and a long slow rise", size=(6, 2.4)) as ax:
    ax.plot([record["minutes"] for record in phase_1], [record["psnr"] for record in phase_1], "o-", ms=3)
    ax.set(xlabel="minutes on one CPU core", ylabel="PSNR of 12 photographs, dB", xlim=(0, None))
for record in (phase_1[0], phase_1[9], phase_1[-1]):
    print(f"{record['minutes']:4.1f} minutes, step {record['step']:6,}: {record['psnr']:.2f} dB")

# %% [markdown]
# From minute 3 to half-time 0.8 dB, in the second half 0.2. Waiting buys no fur; phase 2 must.
#
# ## One adversarial step by hand
#
# Two tiny networks from the course's engine, copied before the module takes its step. Then our own: **first D.** The
# generator only supplies examples, so its gradient is switched off. `softplus(−logit)` is −log(sigmoid(logit)), without the
# sigmoid that would round to 0.

# %%
from copy import deepcopy

from sr_course.losses import VGG_RESCALE, PerceptualLoss, Term
from sr_course.training.loop import make_learners
from sr_course.training.networks import AdversaryOptions, SRResNetOptions
from sr_course.training.objective import make_objective
from sr_course.training.recipe import Recipe
from sr_course.training.runtime import open_runtime
from sr_course.training.steps import adversarial_step

one_step = Recipe(
    name="one step", network=SRResNetOptions(blocks=2, channels=8), adversary=AdversaryOptions(channels=4, hidden=16),
    losses=(Term("perceptual"), Term("adversarial", 1e-3)), optimizer="sgd", learning_rate=0.01, momentum=0,
    steps=1, batch_size=4, hr_crop=32)
batch = Pairs(store, scale=4, hr_crop=32).batch(0, range(4))  # lr (4, 3, 8, 8), hr (4, 3, 32, 32)

# %%
with open_runtime(one_step) as runtime:
    learners = make_learners(one_step, runtime)
    generator, discriminator = (deepcopy(learners[name].network) for name in ("generator", "discriminator"))
    adversarial_step([batch], learners, make_objective(one_step, runtime), runtime, step=0)
content_loss = PerceptualLoss({"relu5_3": 1.0}, rescale=VGG_RESCALE)  # VGG16, which ships with the course
sgd_g, sgd_d = (torch.optim.SGD(network.parameters(), lr=0.01) for network in (generator, discriminator))

with torch.no_grad():
    sr = generator(batch.lr)
real, fake = discriminator(batch.hr), discriminator(sr)  # logits, (4, 1)
loss_d = F.softplus(-real).mean() + F.softplus(fake).mean()  # −log D(HR) − log(1 − D(SR))
loss_d.backward()
assert all(weight.grad is None for weight in generator.parameters())  # nothing reached G
sgd_d.step()
print(f"loss of D {loss_d.item():.3f}; guessing would be 1.386")

# %% [markdown]
# **Then G,** against the D that has just moved. D must let the gradient through to the picture, and keep none itself.

# %%
discriminator.requires_grad_(False)
sr = generator(batch.lr)  # once more, now with gradient
content = content_loss.unchecked(sr, batch.hr)
adversarial = 1e-3 * F.softplus(-discriminator(sr)).mean()  # −log D(SR)
sgd_d.zero_grad()
(content + adversarial).backward()
assert all(weight.grad is None for weight in discriminator.parameters())  # nothing stayed in D
sgd_g.step()
print(f"content {content.item():.3f}, adversarial {adversarial.item():.5f}")

for mine, learner in zip((generator, discriminator), learners.values(), strict=True):
    for ours, theirs in zip(mine.parameters(), learner.network.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
print("every weight of both networks is where the module's step put it")

# %% [markdown]
# ## Healthy and sick runs
#
# Four runs of a small SRGAN come with the course. One went well. The others were broken on purpose.
#
# **Task 3: name the illness.** Look at the pictures first, then at the curves. What can you tell from the losses alone?

# %%
from sr_course.widgets import Case, GanDashboard

cases = {
    "srgan-s_x4": ("healthy", "The discriminator is mostly right, not always; the logits come near again and again.",
                   "the accuracy: is one side always right?"),
    "srgan-s-no-pretraining_x4": ("no pretraining", "The adversary finds mud before there is a picture, and the colours "
                                  "stay wrong for long.", "the picture at step 0"),
    "srgan-s-strong-discriminator_x4": ("discriminator too strong", "Moved four times a step, it is right nearly always, "
                                        "its logits often more than 10 apart.", "the two logits: how far apart are they?"),
    "srgan-s-missing-detach_x4": ("missing detach", "The discriminator's loss moves the generator too: to where it is "
                                  "found out.", "the discriminator's loss: who makes it so small?"),
}
cases = {name: Case(read_history(shipped_run(name)), *words) for name, words in cases.items()}
GanDashboard(cases)

# %% [markdown]
# <details><summary>Answer</summary>
#
# The losses alone tell little: all four look busy. *No pretraining* shows in the first picture: no start, so a discriminator
# that has won before there is anything to judge. *Too strong* and *missing detach* look alike in the accuracy. Look at the
# discriminator's loss: a strong one is still wrong now and then; without the detach the loss goes on falling, for **the
# generator helps it**, by a grid that no photograph has.
#
# Healthy is not finished. This run too has a faint grid where the wall should have grain: given no noise, the generator can
# draw a pattern from the pixels' places alone. These are 800 steps; Ledig et al. took 200,000.
#
# </details>
#
# ## Inside: where do they part?
#
# SRGAN began as SRResNet, and only the loss was another. So map 7 of a layer was once the same map in both, and the two may be
# compared. We measure how far two answers are apart as a part of the size of the first: (3, 4) and (3, 1) are 3 apart, and
# (3, 4) has the size 5, so that makes 60%.
#
# **Predict.** The adversary saw nothing but pictures. In which layer are the two farthest apart: the first, which looks at
# pixels; one in the middle; the last, which draws? And how far apart are the pictures themselves?

# %%
from sr_course.features import tap


def apart(one, other):
    return ((one - other).norm() / one.norm()).item()


assert abs(apart(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 1.0])) - 3 / 5) < 1e-6
twins = {"MSE": load("srresnet"), "GAN": load("srgan")}
face = bicubic_lr(panda["original"], 4)[..., 29:61, 18:50]

# %%
layers = ["head.conv", *(f"blocks.{number}" for number in (0, 4, 8, 12, 15)), "trunk", "up1", "up2"]
answers = []
for network in twins.values():
    with tap(network, layers) as seen, torch.no_grad():
        seen["the picture"] = network(face)
    answers.append(seen)
far = {layer: apart(answers[0][layer], answers[1][layer]) for layer in (*layers, "the picture")}
for layer, distance in far.items():
    print(f"{layer:12} {100 * distance:5.1f}% apart")
assert sorted(layers[:6], key=far.get) == layers[:6]  # farther with every block
assert max(far, key=far.get) == "up2"

# %% [markdown]
# They part block after block, and most in the layer that the picture is made from. The pictures are nearer than any layer:
# most of a picture is plain colour, and there the two agree. The fur is in the small rest.
#
# **Task 4.** Here are the two side by side, left MSE, right GAN, the maps that differ most first. Compare `blocks.0` with
# `up2`. In `up2`, find a map that is nearly empty on the left and grain all over the fur on the right. Click it: that switches
# it off in both. Which picture changes more, by the decibels below?

# %%
from sr_course.widgets import FeatureExplorer

FeatureExplorer(twins, face, layer="up2", order="difference", tool="ablation")

# %% [markdown]
# <details><summary>Answer</summary>
#
# In `blocks.0` the halves look alike. In `up2` some maps have got another task. Map 36, say, is all but empty for MSE, and
# grain in the fur for GAN: switched off, it changes SRGAN's picture more. Map 15 marks a few outlines for MSE, and dots in all
# the fur for GAN.
#
# </details>
#
# ## Choose blind
#
# **Task 5.** Two answers to one small picture, in random order. Which looks more like a photograph? Judge all six before
# you read on: your answers stay on this machine.

# %%
from sr_course.widgets import BlindChoice, Pair

places = {"chameleon": (100, 100), "gibbon": (60, 120), "hawa_mahal": (100, 150),
          "hedgehog": (100, 150), "kingfisher": (30, 60), "stream": (150, 200)}
pairs = []
for name, (top, left) in places.items():
    made = enlarged(images.read(photo(name).path)[..., top : top + 160, left : left + 200], ("srresnet", "srgan"))
    pairs.append(Pair(name, made, truth=made.pop("original")))
BlindChoice(pairs)

# %% [markdown]
# ## Measure
#
# **Predict.** By how many dB does SRGAN differ from SRResNet, and in which direction? And from bicubic?

# %%
tables = results(["bicubic", "srcnn", "srresnet", "srgan"])
opinions = {"bicubic": 1.97, "SRCNN": 2.57, "SRResNet": 3.37, "SRGAN": 3.58, "original": 4.32}
print("\npublished for Set5 x4 (Ledig et al. 2017, table 2): PSNR of SRResNet 32.05 dB, of SRGAN 29.40 dB")
print("mean opinion score: " + ", ".join(f"{name} {score:.2f}" for name, score in opinions.items()))

# %% [markdown]
# SRGAN is *below bicubic*. PSNR is right: a hair in the wrong place is an error twice, where it is and where it should have
# been. PSNR measures how near, not how real.
#
# So Ledig et al. asked people for marks from 1, bad, to 5, excellent: the **mean opinion score** (MOS). By PSNR SRResNet
# wins by far; by opinion SRGAN, and neither comes near the original. Your own score stands in the widget, with its
# interval: six pairs cannot show so small a difference.
#
# ## What is invented is not evidence
#
# Satellites, microscopes, body scanners, old films, games, cameras that watch a street: all want sharper pictures. In some,
# somebody will act on what the picture shows.
#
# **Predict.** On the gate tower of lesson 2 there is a clock. Can you read it after SRGAN? And what becomes of the grooves
# in the stone of lesson 1?

# %%
gate = enlarged(images.read(photo("charminar").path)[..., 144:252, 180:300])
stone = enlarged(images.read(photo("worms_cathedral").path)[..., 264:384, 40:188])
shown = {"bicubic": "bicubic", "srresnet": "SRResNet", "srgan": "SRGAN", "original": "original"}
show({label: gate[name][..., 30:78, 32:92] for name, label in shown.items()}, zoom=3, columns=4,
     alt="A clock: a blur by bicubic and SRResNet, a glassy disc with dark strokes by SRGAN, a dial in the original")
show({label: stone[name][..., 46:94, 30:90] for name, label in shown.items()}, zoom=3, columns=4,
     alt="Stone: plain by bicubic and SRResNet, rough by SRGAN, cut in deep curved grooves in the original")
lr = bicubic_lr(panda["original"], 4)
for name in shown:
    off = 255 * (imresize(panda[name], 1 / 4) - lr)
    print(f"{name:9} shrunk again, it is {off.square().mean().sqrt():.1f} levels off the small picture")


# %% [markdown]
# SRGAN shows rough stone where grooves were cut: convincing, and false. It does not even hold to what was there: shrunk
# again, its panda is nearly 5 levels off, where rounding is worth 0.3.
#
# So say that such a picture is made, and keep the small one beside it. Never read a number plate, a face or a tumour from
# it. And ask what the network was trained on: ours saw clean pictures, shrunk by bicubic. A camera's noise, blur and JPEG
# are strange to it (lesson 5).
#
# ## Exercises
#
# Replace `...`, run the cell, read what the check says. It gives two hints before the answer.
#
# **3.1 Warm-up.** Write `shuffle(maps, r)`: `(N, r·r, H, W)` to `(N, 1, r·H, r·W)`, without torch's own.

# %%
def shuffle(maps, r):
    # solution begins; until then: return ...
    n, _, h, w = maps.shape
    squares = maps.reshape(n, r, r, h, w)  # picture, row and column in the square, row and column of the square
    return squares.permute(0, 3, 1, 4, 2).reshape(n, 1, r * h, r * w)
    # solution ends


srgan.check_shuffle(shuffle)


# %% [markdown]
# **3.2 Core: both losses.** Write `losses(real, made)`: from the logits, `(N, 1)` each, D's loss and G's, which shall pull
# also when D is sure. Logits may be ±200.

# %%
def losses(real, made):
    # solution begins; until then: return ...
    of_d = F.softplus(-real).mean() + F.softplus(made).mean()
    return of_d, F.softplus(-made).mean()
    # solution ends


srgan.check_losses(losses)


# %% [markdown]
# **3.3 Core: the bug clinic.** Four defects of popular repositories, written anew. Each trains without an error. Each has
# a test below that fails: mend the one line.
#
# **(a) The term without gradient:** a content term that stands in the log with its right value. **(b) The mean turned
# around:** the running mean of a weight; a `decay` of 0.999 shall remember a thousand steps.

# %%
def content(features, sr, hr):
    # solution begins; until then: return F.mse_loss(features(sr).detach(), features(hr))
    return F.mse_loss(features(sr), features(hr).detach())
    # solution ends


def ema(mean, weight, decay):
    # solution begins; until then: return (1 - decay) * mean + decay * weight
    return decay * mean + (1 - decay) * weight
    # solution ends


srgan.check_content(content)
srgan.check_ema(ema)


# %% [markdown]
# **(c) The misplaced number:** a batch norm whose running mean shall keep 0.8 of the old one at each step. **(d) The
# unprepared input:** the generator gives [−1, 1]; VGG was trained on pictures in [0, 1], less `mean`, divided by `std`.

# %%
def norm(channels):
    # solution begins; until then: return nn.BatchNorm2d(channels, 0.8)
    return nn.BatchNorm2d(channels, momentum=0.2)  # in torch: the share of the new
    # solution ends


def prepare(picture, mean, std):
    # solution begins; until then: return picture
    return ((picture + 1) / 2 - mean) / std
    # solution ends


srgan.check_norm(norm)
srgan.check_prepare(prepare)


# %% [markdown]
# **3.4 Stretch: hold it to the evidence.** Write `consistent(sr, lr)`: correct `sr` until, shrunk by `imresize(sr, 1 / 4)`,
# it is the small picture again, and keep its detail. Then try it on `panda["srgan"]`: does the PSNR rise? Is the fur left?

# %%
def consistent(sr, lr):
    # solution begins; until then: return ...
    for _ in range(10):
        sr = sr + imresize(lr - imresize(sr, 1 / 4), 4)
    return sr
    # solution ends


srgan.check_consistent(consistent)

# %% tags=["solution"]
fitted = consistent(panda["srgan"], lr).clamp(0, 1)
for name, picture in {"SRGAN": panda["srgan"], "held to the evidence": fitted}.items():
    print(f"{name:21} {psnr(picture, panda['original']).item():.2f} dB")
show({"SRGAN": panda["srgan"][..., 110:260, 70:215], "held to the evidence": fitted[..., 110:260, 70:215]}, zoom=1,
     alt="The panda's face by SRGAN, and after the correction: the fur is still there")

# %% [markdown]
# ## True or false?
#
# <details><summary>SRGAN is another network than SRResNet.</summary>
# False. The generator is the same; only the loss of the second phase differs.</details>
#
# <details><summary>Sub-pixel convolution has no checkerboards.</summary>
# False. It has no uneven overlap, but random first weights give it one, unless ICNR draws them.</details>
#
# <details><summary>A GAN is done when both losses have reached 0.</summary>
# False. When D can only guess, its loss is 2 ln 2; at 0 it has won, and G learns nothing.</details>
#
# <details><summary>Skips help because deep networks otherwise lose their gradients.</summary>
# Half true. Larger first weights keep the gradient too, and the plain stack still learned worse.</details>
#
# <details><summary>Lower PSNR means a worse picture.</summary>
# False by the opinion of people: 3.58 for SRGAN, 3.37 for SRResNet, with 2.65 dB less.</details>
#
# <details><summary>A better network would read the clock.</summary>
# False. Its hands are not in the small picture; a better network draws better hands.</details>
#
# ## Recap
#
# 1. A skip lets the gradient through, and leaves a block only the residual to learn.
# 2. Work on the small picture, enlarge at the end by moving maps into squares.
# 3. Squared error wants the mean of what could be; a discriminator wants one of them.
# 4. Two phases: pixels first, then features and the adversary, D and G in turn, each moving its own weights alone.
# 5. PSNR measures how near, people how real; neither how true.
#
# **Eight questions**
#
# 1. What is the slope of x + f(x), and why does it matter?
# 2. How many maps does one sub-pixel stage need for x4?
# 3. Where in a spectrum is a checkerboard?
# 4. Why does batch norm behave otherwise in evaluation?
# 5. D's loss is 1.386. What does it say to every picture?
# 6. Why is −log D better for G than log(1 − D)?
# 7. Which two gradients must be cut in an adversarial step?
# 8. Why is SRGAN's PSNR below bicubic's?
#
# The answers stand in `solved/03_srgan.ipynb`.
#
# **Three readings**
#
# - C. Ledig and others, "Photo-realistic single image super-resolution using a generative adversarial network", CVPR 2017:
#   SRResNet, SRGAN, and what people said.
# - I. Goodfellow and others, "Generative adversarial nets", NIPS 2014: the game, and why its end is one half.
# - A. Odena, V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", Distill 2016: with pictures that move.

# %% [markdown] tags=["solution"]
# **Answers**
#
# 1. 1 + f′(x): however small f′ is, the gradient comes through.
# 2. Sixteen for each map of the result.
# 3. At the rim: its waves have a period of two pixels.
# 4. There may be one picture only, so it takes the running means instead of the batch's.
# 5. One half: it guesses.
# 6. When D is sure that a picture is made, log(1 − D) is flat there and −log D is steep.
# 7. D's loss must not reach G, and G's must leave nothing in D's weights.
# 8. Invented detail that lies elsewhere is an error, twice; soft bicubic errs once.
