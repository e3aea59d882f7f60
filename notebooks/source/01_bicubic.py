# %% [markdown]
# # Lesson 1: Bicubic
#
# Shrink a photograph until one pixel in sixteen is left. Then ask for all of them back. Bicubic interpolation answers
# with a formula from 1981, and every network of this course will be measured against it.
#
# **The question:** how does a formula fill in missing pixels, what can it never bring back, and how do we put a number
# on the result?

# %%
from sr_course import images
from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.lessons import show
from sr_course.resample import imresize

bird = images.read(photo("kingfisher").path)  # (1, 3, 360, 456), RGB in [0, 1]
lr = bicubic_lr(bird, 4)  # low resolution, (1, 3, 90, 114)
pictures = {
    "nearest": imresize(lr, 4, kernel="nearest"),
    "bilinear": imresize(lr, 4, kernel="bilinear"),
    "bicubic": imresize(lr, 4, kernel="cubic").clamp(0, 1),
    "original": bird,
}
show({name: one[..., 24:264, 40:352] for name, one in pictures.items()},
     alt="A kingfisher, enlarged from coarse squares by three formulas, ever smoother, and the sharp original")

# %% [markdown]
# The same small picture, filled in by three formulas, and the truth. Compare the outline of the bird, then the speckles of
# its head: outlines come back, speckles do not.
#
# | | |
# |:--|:--|
# | **You will** | resize a row of numbers by hand; write bicubic resizing in a few lines; explain aliasing; compute PSNR and SSIM and name their protocol; show why lost detail cannot be computed back |
# | **You need** | Python and lesson 0; no calculus |
# | **Time** | 60 to 90 minutes; the cells alone run in under a minute |
# | **GPU** | not needed |
# | **Photographs** | public domain, CC0 and CC BY: `datasets/CREDITS.md` |
#
# ## Set-up

# %% tags=["nbval-ignore-output"]
# output not compared: it names this machine and the versions on it
from dataclasses import replace
from math import log10
import torch
import torch.nn.functional as F

from sr_course.lessons import figure, results, setup
from sr_course.lessons.bicubic import check_area_average, check_cubic_a, check_protocol, check_psnr_y
from sr_course.metrics import MATLAB_Y, Protocol, psnr, ssim, ssim_map
from sr_course.widgets.compare import CompareSlider
from sr_course.widgets.resample_bench import ResampleBench, Setting

setup()
for name in ("kingfisher", "worms_cathedral", "red_panda", "gibbon"):
    print(photo(name).credit.split(" (")[0])

# %% [markdown]
# ## Predict first: a striped wall
#
# **Predict.** A wall has stripes one pixel wide: black, white, black, white. You shrink its picture by keeping every
# second pixel. Which colour is the wall now? And if you start one pixel later?

# %%
wall = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1.0])  # 0 is black, 1 is white
print(f"all pixels            {wall.mean():.2f}")
print(f"every 2nd             {wall[::2].mean():.2f}")
print(f"every 2nd, one later  {wall[1::2].mean():.2f}")
print(f"mean of each pair     {wall.reshape(-1, 2).mean(dim=1).mean():.2f}")

# %% [markdown]
# Black, or white, depending on where you start. After sampling, the striped wall and a plain wall are the same
# numbers. This is **aliasing**: a wave that gets fewer than two samples per period does not vanish, it comes back
# disguised as a coarser one. The mean of each pair stays at 0.50, an honest grey. So **blur first, then sample**.
#
# **Predict.** The stone block in the next photograph is cut in fine curved grooves. Keep every 4th pixel: what
# becomes of the grooves?

# %%
cathedral = images.read(photo("worms_cathedral").path)
stone = cathedral[..., 280:376, 64:232]
ways = {
    "original": stone,
    "every 4th pixel": stone[..., ::4, ::4],
    "mean of each 4 x 4": F.avg_pool2d(stone, 4),
    "bicubic": imresize(stone, 1 / 4),
}
show(ways, zoom=2, columns=2,
     alt="A grooved stone block; keeping every 4th pixel gives false checkerboards, averaging almost none, bicubic none")

# %% [markdown]
# Look for the checkerboards and swirls in the second picture: none of them is on the stone. Averaging leaves a trace of
# them, right of the middle. Bicubic weighs 16 x 16 old pixels for each new one, and no ghost is left.
#
# ## By hand: eight numbers
#
# Now the other way. Here are eight pixels of one row:
#
# ```
# pixel   0   1   2   3   4   5   6   7
# value   0   0   0  16  16  16   0   0
# ```
#
# Enlarging asks for values between pixels. Half way between two of them, three rules are common:
#
# ```
# nearest    copy the closest pixel; at a tie, the right one
# bilinear   1/2 and 1/2 of the two pixels beside the place
# cubic      -1/16, 9/16, 9/16, -1/16 of the four pixels around it
# ```
#
# **Predict,** with a pencil: what does each rule give at place 1.5? At 3.5?

# %%
row = [0, 0, 0, 16, 16, 16, 0, 0]
for place in (1.5, 2.5, 3.5):
    first = int(place) - 1
    a, b, c, d = row[first : first + 4]  # two pixels on each side of the place
    by_cubic = (-a + 9 * b + 9 * c - d) / 16
    print(f"place {place}: nearest {c:2}, bilinear {(b + c) / 2:4.1f}, cubic {by_cubic:4.1f}")


# %% [markdown]
# Cubic gives −1 at 1.5, darker than black, and 17 at 3.5, brighter than any pixel of the row. This **overshoot** comes
# from the two negative weights. It makes edges steeper and draws a faint halo along them. No file of 8 bits holds −1:
# that is why the first cell cuts the result with `clamp(0, 1)`.
#
# The weights add up to 1, for −1 + 9 + 9 − 1 = 16. So a flat area stays flat.
#
# ## From scratch
#
# The weights come from a **kernel**, a function of the distance x between a pixel and the place. Keys (1981, eq. 15)
# glues two cubic polynomials together:
#
# ```
#          1.5|x|³ − 2.5|x|² + 1              |x| ≤ 1
# k(x) =  −0.5|x|³ + 2.5|x|² − 4|x| + 2   1 < |x| < 2
#          0                                  elsewhere
# ```

# %%
def cubic(x):
    """The weight of a pixel at distance x from the place."""
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x < 2))


print("sixteenths at half way:", (16 * cubic(torch.tensor([1.5, 0.5, 0.5, 1.5]))).tolist())


# %% [markdown]
# These are our four weights. Two questions are left.
#
# **Where does a new pixel lie?** A pixel is a square, and its number names its centre. Enlarged by 2, the left half of
# pixel 0 becomes new pixel 0, so its centre lies a quarter pixel left of 0:
#
# ```
# place of new pixel i  =  (i + 0.5) / scale − 0.5        scale 2:  −0.25, 0.25, 0.75, 1.25, ...
# ```
#
# **How wide is the kernel?** When shrinking, we stretch it by 1 / scale. It then reaches over more pixels: that is the
# blur before the sampling.
#
# Beyond its edge the picture goes on as its own mirror image. So a weight that falls outside is added to the pixel
# whose image it meets.

# %%
def weights(length, scale, kernel=cubic):
    """A table: one row for each new pixel, one column for each old pixel."""
    stretch = max(1, 1 / scale)
    place = (torch.arange(round(length * scale)).double() + 0.5) / scale - 0.5
    pixel = torch.arange(-length, 2 * length)  # the old row between two mirror images of itself
    distance = place[:, None] - pixel  # from every new pixel to every old one
    left, middle, right = kernel(distance / stretch).chunk(3, dim=1)
    table = middle + left.flip(1) + right.flip(1)  # a mirrored pixel is an old pixel once more
    return table / table.sum(dim=1, keepdim=True)  # each row adds up to 1


print("enlarged by 2, new pixel 4, in 128ths:", (128 * weights(8, 2)[4]).round().int().tolist())
print("shrunk by 2, new pixel 2, in 256ths:  ", (256 * weights(10, 1 / 2)[2]).round().int().tolist())

# %% [markdown]
# Shrinking by 2 uses twice as many pixels, each with half the weight. Now the kernels as a picture, and our eight
# pixels enlarged by 32.

# %%
kernels = {
    "nearest": lambda x: ((x >= -0.5) & (x < 0.5)).double(),
    "bilinear": lambda x: (1 - x.abs()).clamp(min=0),
    "cubic": cubic,
}
values, distance = torch.tensor(row).double(), torch.linspace(-2.5, 2.5, 501)
place = (torch.arange(8 * 32) + 0.5) / 32 - 0.5
with figure("Box, triangle, bell with negative dips; only the bell overshoots", size=(7.6, 2.8), panels=2) as (left, right):
    for name, kernel in kernels.items():
        left.plot(distance, kernel(distance), label=name)
        right.plot(place, weights(8, 32, kernel) @ values)
    right.plot(values, "ko")
    left.set(title="weight at distance x", xlabel="x, in pixels")
    right.set(title="eight pixels (dots) and what lies between", xlabel="place")
    left.legend()


# %% [markdown]
# Left: only the cubic kernel dips below zero, between distances 1 and 2. Right: all three pass through the dots, and
# only cubic bends below 0 and above 16, beside each edge.
#
# A picture has two directions: **resize every column, then every row**. With our tables each pass is one matrix product.

# %%
def resize(picture, scale):
    """Resize a picture (..., H, W): its columns, then its rows."""
    height, width = picture.shape[-2:]
    return weights(height, scale) @ picture @ weights(width, scale).T


# %% [markdown]
# Enlarging, a new pixel mixes 4 x 4 = 16 old ones, and two passes need at most 4 + 4 products for it.
#
# ## The module does the same
#
# `imresize` of the course follows MATLAB's function of that name, which made the small pictures of the usual benchmarks.
# Is ours the same? And what about PyTorch's own?
#
# **Predict:** `F.interpolate(..., mode="bicubic")` also calls itself bicubic. By how many of 255 levels will it differ?

# %%
for scale in (4, 3, 1 / 3, 1 / 4):
    difference = (resize(bird.double(), scale) - imresize(bird.double(), scale)).abs().max()
    assert difference < 1e-12
print("ours and imresize: equal")

by_torch = F.interpolate(bird, scale_factor=1 / 4, mode="bicubic")
stretched = F.interpolate(bird, scale_factor=1 / 4, mode="bicubic", antialias=True)
inside = (..., slice(2, -2), slice(2, -2))
for name, small in {"default": by_torch, "antialias=True": stretched}.items():
    difference = 255 * (small - imresize(bird, 1 / 4)).abs()
    print(f"torch, {name:15} off by up to {difference.max():5.1f} levels, inside {difference[inside].max():5.1f}")

# %% [markdown]
# By default PyTorch differs twice. It does not stretch the kernel, so it aliases. And its cubic is another one, steeper
# at distance 1: you will write it in exercise 1.2. With `antialias=True` it stretches, takes Keys' cubic, and agrees
# with MATLAB inside the picture. At the edge it ignores what lies outside, where MATLAB mirrors.
#
# ## Try it
#
# **Task 1.** The bench shrinks a zone plate: rings that get finer outwards. In the result only the rings around the
# middle are real, all others are aliases. At scale 1/4, find the setting that folds back least, and the one with the
# highest PSNR (more is better). Are they the same? The two spectra can wait until the next section.

# %%
ResampleBench(setting=Setting(source="zone plate", scale=1 / 4, antialias=False))

# %% [markdown]
# <details><summary>Answer</summary>
#
# No. With antialias on, bilinear folds back least (0.2%), but it also blurs rings that could stay: 28.0 dB. Lanczos
# keeps more of them: 33.0 dB with 0.3%, at the price of a wider kernel. Cubic gives 30.5 dB with 0.4%.
#
# </details>
#
# **Task 2.** Move the divider and zoom in. Find a place where bicubic and the original look alike, and one where they
# cannot be confused. What do such places have in common?

# %%
CompareSlider(pictures, left="bicubic", zoom=2, center=(0.35, 0.6), scene="a kingfisher")


# %% [markdown]
# <details><summary>Answer</summary>
#
# The plain background and the broad outline survive. The speckles of the head and the lichen on the branch do not: two
# pixels of the small picture, eight of the original, are too wide for them.
#
# </details>
#
# ## Nothing to train
#
# At this point the next lessons load or train a network. Bicubic has nothing to train: its weights are the same for fur,
# brick and sky. So let us see exactly what it cannot know.
#
# Any picture is a sum of waves: slow ones for broad shapes, fine ones for detail. The Fourier transform says how strong
# each one is. The next figure draws the slowest in the middle and the finest at the rim, in colours that go by powers
# of ten.
#
# **Predict.** Shrink by 4, enlarge by 4. How much of the rectangle stays bright?

# %%
def wave_energy(picture):
    """The energy of each wave in the luma of a picture, slowest in the middle, without the mean."""
    light = images.luma(picture)[0, 0]
    return torch.fft.fftshift(torch.fft.fft2(light - light.mean()).abs() ** 2)


before, after = wave_energy(bird), wave_energy(imresize(imresize(bird, 1 / 4), 4))
outer = torch.ones(360, 456, dtype=torch.bool)
outer[135:225, 171:285] = False  # the middle quarter of each side
with figure("Energy of the waves: all over the rectangle; then in its middle", size=(7.6, 3.2), panels=2) as axes:
    for ax, energy, title in zip(axes, (before, after), ("original", "shrunk and enlarged"), strict=True):
        ax.imshow((energy + 1e-3).log10(), vmin=-1, vmax=5, cmap="magma", extent=(-1, 1, -1, 1), aspect=360 / 456)
        ax.plot([-0.25, 0.25, 0.25, -0.25, -0.25], [-0.25, -0.25, 0.25, 0.25, -0.25], "w", lw=1)
        ax.set(title=title, xticks=[], yticks=[])
print(f"outside the white box: {100 * outer.double().mean():.2f}% of the waves")
share = [100 * (energy[outer].sum() / before.sum()).item() for energy in (before, after)]
print(f"their share of the energy: {share[0]:.1f}% before, {share[1]:.1f}% after")

# %% [markdown]
# The white box is 1/16 of the area: as many waves as the small picture has pixels. Outside lie 93.75% of all waves, with
# 8.3% of the energy. Afterwards 0.2% is there: a leak of the kernel, no detail. So detail is little energy, but most of
# the waves, and what we see as sharp.
#
# Could a cleverer formula compute it back?
#
# **Predict.** Shuffle the 16 pixels inside every 4 x 4 block of the panda. What happens to the mean of each block?

# %%
eyes = images.read(photo("red_panda").path)[..., 124:212, 88:176]
blocks = F.pixel_unshuffle(eyes, 4).reshape(1, 3, 16, 22, 22)  # the 16 pixels of each block along one dimension


def rebuilt(order):
    """The picture with the pixels of every block in another order."""
    return F.pixel_shuffle(blocks[:, :, order].reshape(1, 48, 22, 22), 4)


versions = {"original": eyes, "shuffled": rebuilt(torch.randperm(16)), "turned": rebuilt(torch.arange(15, -1, -1))}
small = F.avg_pool2d(eyes, 4)
for version in versions.values():
    assert torch.allclose(F.avg_pool2d(version, 4), small, atol=1e-6)
show({**versions, "each of them, shrunk": small}, zoom=2,
     alt="Eyes of a panda: the original, a grainy and a jagged version, and the one small picture that all three give")

# %% [markdown]
# Three different pictures, one small picture. Nothing in the small one says which of them stood before the camera.
# Bicubic weighs its pixels otherwise, but the count is the same: sixteen unknowns for each known number. Such a
# problem is called **ill-posed**.
#
# Yet you knew at once which of the three is real, because you know what fur looks like. The next lessons let networks
# learn that from photographs.
#
# ## Measure
#
# Take four pixels of the truth, `hr`, and four of an answer, `sr`. The **peak signal-to-noise ratio** is
#
# ```
# MSE   =  mean of (sr − hr)²                 levels 0 to 255
# PSNR  =  10 · log10(255² / MSE)             in dB; more is better
# ```
#
# **Predict** the MSE of the four pixels below.

# %%
hr4, sr4 = [10, 20, 30, 40], [12, 18, 33, 39]
mse = sum((s - h) ** 2 for s, h in zip(sr4, hr4, strict=True)) / 4
by_hand = 10 * log10(255**2 / mse)
as_pictures = [torch.tensor(levels).reshape(1, 1, 2, 2) / 255 for levels in (sr4, hr4)]
assert abs(by_hand - psnr(*as_pictures, replace(MATLAB_Y, border=0)).item()) < 1e-3  # the module agrees
print(f"MSE {mse:.2f}, PSNR {by_hand:.2f} dB")
print(f"half the error: +{20 * log10(2):.2f} dB")
print(f"27.3 dB: an RMS error of {255 / 10 ** (27.3 / 20):.1f} levels")

# %% [markdown]
# The squares are 4, 4, 9 and 1, their mean is 4.5. Half the error is always 6.02 dB more. And 27.3 dB, which bicubic
# reaches on the kingfisher, is a root-mean-square error of 11 levels.
#
# **Predict.** The kingfisher, shrunk and enlarged in five ways. How many dB lie between the best and the worst?

# %%
ways = {
    "as in the papers": imresize(lr, 4),
    "enlarged by torch": F.interpolate(lr, scale_factor=4, mode="bicubic"),
    "the same, align_corners=True": F.interpolate(lr, scale_factor=4, mode="bicubic", align_corners=True),
    "shrunk by torch": imresize(by_torch, 4),
    "shrunk by [::4]": imresize(bird[..., ::4, ::4], 4),
}
for name, way in ways.items():
    print(f"{name:28} {psnr(way.clamp(0, 1), bird).item():.2f} dB")

# %% [markdown]
# From 27.38 down to 24.00. PyTorch's steeper cubic enlarges a little better here, but papers do not compare with it. The
# third way puts the new pixels in other places. The last two do not blur, and the last also slides the picture. Such
# slips weigh as much as research: in Kim et al. (2016, table 2) VDSR beats SRCNN on Set5 x4 by 0.87 dB, 31.35 against
# 30.48.
#
# PSNR compares pixel by pixel. **SSIM** compares small windows, by their means m, variances v and covariance:
#
# ```
#           2·mx·my + C1          2·covariance + C2
# SSIM  =  ----------------   ·   -----------------        C1 = (0.01 · 255)²
#          mx² + my² + C1           vx + vy + C2           C2 = (0.03 · 255)²
# ```
#
# Are both equally bright? Do they rise and fall together, equally strongly? Each yes is a factor of 1. C1 and C2 keep
# flat windows from dividing 0 by 0. Here is one window of 11 x 11 pixels by hand, its middle weighted most (a Gaussian
# bell, sigma 1.5):

# %%
x, y = (255 * images.luma(one)[0, 0, 55:66, 100:111].double() for one in (pictures["bicubic"], bird))
bell = torch.exp(-(torch.arange(-5, 6).double() ** 2) / (2 * 1.5**2))
w = bell[:, None] * bell / bell.sum() ** 2  # 11 x 11 weights, in all 1

mx, my = (w * x).sum(), (w * y).sum()
vx, vy = (w * (x - mx) ** 2).sum(), (w * (y - my) ** 2).sum()
covariance = (w * (x - mx) * (y - my)).sum()
c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
by_hand = (2 * mx * my + c1) / (mx**2 + my**2 + c1) * (2 * covariance + c2) / (vx + vy + c2)
assert torch.isclose(by_hand, ssim_map(x[None, None], y[None, None]).squeeze())
print(f"means {mx:.1f} {my:.1f}, variances {vx:.1f} {vy:.1f}, covariance {covariance:.1f}: SSIM {by_hand:.4f}")

# %% [markdown]
# The means nearly agree, the variances do not: bicubic has flattened this window. The SSIM of a picture is the mean over all
# its windows.
#
# **Predict.** Three bad copies of the kingfisher: bicubic, 13 levels brighter, noisy. All have about the same PSNR.
# Which has the best SSIM, and which the worst?

# %%
torch.manual_seed(0)
copies = {"bicubic": pictures["bicubic"], "brighter": bird + 0.05, "noisy": bird + 0.05 * torch.randn(360, 456)}
copies = {name: copy.clamp(0, 1) for name, copy in copies.items()}
for name, copy in copies.items():
    print(f"{name:9} {psnr(copy, bird).item():.2f} dB, SSIM {ssim(copy, bird).item():.4f}")
show({name: copy[..., 48:168, 88:208] for name, copy in copies.items()},
     alt="Head of a kingfisher: blurred by bicubic, a little brighter but sharp, and grainy from noise")

# %% [markdown]
# PSNR takes a shift in brightness as seriously as noise, though the eye hardly minds it. SSIM does not. Neither of them
# is the eye; later lessons add a third measure.
#
# A number also depends on its **protocol**: which channel, rounded or not, how many border pixels cut away.
#
# **Predict.** One pair of pictures, six protocols: how far apart are the PSNRs?

# %%
gibbon = images.read(photo("gibbon").path)
sr = imresize(bicubic_lr(gibbon, 4), 4).clamp(0, 1)
print("channel  border   PSNR    SSIM")
for channel in ("rgb", "y-full", "y"):
    for border in (0, 4):
        protocol = Protocol(name="trial", channel=channel, border=border)
        score, likeness = psnr(sr, gibbon, protocol).item(), ssim(sr, gibbon, protocol).item()
        print(f"{channel:8} {border:6}  {score:5.2f}  {likeness:.4f}")

# %% [markdown]
# From 25.62 to 27.53 dB, and not a pixel has changed. Luma (`y-full`, 0 to 255) has less error than the three colours.
# Luma as MATLAB scales it (`y`, 16 to 235) spans only 219 levels, yet the peak stays 255: a gift of 20·log10(255/219) =
# 1.32 dB. **No number without its protocol.** The kingfisher was measured under `MATLAB_Y`, the last row.
#
# The published figure for bicubic on Set5 x4 is 28.42 dB / 0.8104 (Kim et al. 2016, table 2). If you have Set5, check
# it with `sr-course evaluate bicubic --data Set5 --scale 4`, which measures as that paper did. And here are the first
# rows of the course's own table:

# %%
tables = results(["nearest", "bilinear", "bicubic"])


# %% [markdown]
# Bicubic's 25.02 dB and 0.6694 are the row to beat.
#
# ## Exercises
#
# Replace `...`, run the cell, read what the check says. It gives two hints before the answer.
#
# **1.1 Warm-up.** Write `area_average(row, n)`: each new value is the mean of `n` neighbours, so no stripe turns black.
# The length of `row`, a tensor, is a multiple of `n`.

# %%
def area_average(row, n):
    # solution begins; until then: return ...
    return row.reshape(-1, n).mean(dim=1)
    # solution ends


check_area_average(area_average)


# %% [markdown]
# **1.2 Core: the other bicubic.** Let the slope at distance 1 be free and call it a. The far piece becomes
# a·(|x|³ − 5|x|² + 8|x| − 4); with a = −0.5 it is the one above. The near piece is p|x|³ + q|x|² + 1. It must be 0 at
# distance 1 and have slope a there: p + q + 1 = 0 and 3p + 2q = a. Solve for p and q on paper, then write the kernel.

# %%
def cubic_a(x, a):
    # solution begins; until then: return ...
    x = x.abs()
    near_a = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far_a = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return near_a * (x <= 1) + far_a * ((x > 1) & (x < 2))
    # solution ends


check_cubic_a(cubic_a)


# %% [markdown]
# **1.3 Core: PSNR as papers report it.** Pictures are RGB in [0, 1]. Take the luma Y = 16 + 65.481 R + 128.553 G +
# 24.966 B, cut `border` pixels from every side, and return the PSNR with peak 255. No rounding.

# %%
def psnr_y(sr, hr, border):
    # solution begins; until then: return ...
    weight = torch.tensor([65.481, 128.553, 24.966]).reshape(3, 1, 1)
    error = ((sr - hr) * weight).sum(dim=1)  # the 16 cancels
    height, width = error.shape[-2:]
    inner = error[..., border : height - border, border : width - border]
    return 10 * torch.log10(255**2 / inner.square().mean())
    # solution ends


check_psnr_y(psnr_y)

# %% [markdown]
# **1.4 Stretch: the protocol detective.** A paper reports 26.298 dB for bicubic x4 on the gibbon, the pair `sr` and
# `gibbon` above, and does not say how it measured. Find channel, border (0 to 8) and `round_y`. Hint: let loops try all.

# %%
found = ...
# solution begins; until then: # found = Protocol(name="found", channel=..., border=..., round_y=...)
for channel in ("rgb", "y-full", "y"):
    for border in range(9):
        for round_y in (False, True):
            suspect = Protocol(name="suspect", channel=channel, border=border, round_y=round_y)
            if abs(psnr(sr, gibbon, suspect).item() - 26.298) < 0.0015:
                found = suspect
# solution ends
check_protocol(found)

# %% [markdown]
# ## True or false?
#
# <details><summary>Blurring before shrinking throws away detail that could have been kept.</summary>
# False. That detail cannot be kept; without the blur it comes back as false patterns.</details>
#
# <details><summary>Bicubic never leaves the range of its input.</summary>
# False. It gave −1 and 17 from pixels of 0 and 16.</details>
#
# <details><summary>Enlarging adds information, for there are more pixels.</summary>
# False. Each new pixel is a fixed sum of old ones. Whoever has the small picture can compute the large one.</details>
#
# <details><summary>Two functions called bicubic give the same picture.</summary>
# False. Kernel, stretching, places of the pixels and edges may all differ; shrinking with PyTorch's default cost more than 1 dB above.</details>
#
# <details><summary>Of two pictures, the one with the higher PSNR looks better.</summary>
# False. The noisy bird had the highest PSNR of the three copies.</details>
#
# <details><summary>A method with 28.4 dB is better than one with 27.9 dB.</summary>
# Nobody can tell, unless pictures and protocol are the same.</details>
#
# ## Recap
#
# 1. Blur before you sample, or detail returns as false patterns.
# 2. Interpolation weighs neighbours by a kernel; bicubic takes 4 x 4, some with negative weights.
# 3. A picture is resized along columns, then along rows; places are (i + 0.5) / scale − 0.5.
# 4. At x4, 93.75% of the waves are lost, and many pictures fit what is left.
# 5. PSNR and SSIM mean something only with their protocol.
#
# **Eight questions**
#
# 1. Why did the striped wall turn black?
# 2. Why do the weights add up to 1?
# 3. What do negative weights do at an edge?
# 4. Enlarged by 4, where does new pixel 0 lie?
# 5. Why is the kernel stretched when shrinking?
# 6. How many old pixels weigh in for one new pixel when bicubic shrinks by 2?
# 7. The error falls to a tenth. How many dB is that?
# 8. What must stand beside every PSNR?
#
# The answers stand in `solved/01_bicubic.ipynb`.
#
# **Three readings**
#
# - R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on Acoustics, Speech,
#   and Signal Processing 29(6), 1153-1160, 1981: why a = −0.5.
# - Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to structural
#   similarity", IEEE Transactions on Image Processing 13(4), 600-612, 2004: SSIM, and many pictures of one MSE.
# - J. Kim, J. K. Lee, K. M. Lee, "Accurate image super-resolution using very deep convolutional networks", CVPR 2016,
#   1646-1654: table 2 is where bicubic, SRCNN and the next step stand side by side.
#
# **Next:** [lesson 2, SRCNN](02_srcnn.ipynb). Three convolutions learn from photographs what a formula cannot know.

# %% [markdown] tags=["solution"]
# **Answers**
#
# 1. Every pixel that was kept fell on a black stripe.
# 2. So that a flat area keeps its value.
# 3. They overshoot: a steeper edge with a halo.
# 4. At 0.5 / 4 − 0.5 = −0.375.
# 5. So that it blurs away what the new pixels cannot hold.
# 6. 8 x 8: the kernel is 4 pixels wide, stretched to 8.
# 7. 20 dB more.
# 8. The pictures, the scale and the protocol.
