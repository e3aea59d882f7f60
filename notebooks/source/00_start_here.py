# %% [markdown]
# # Start here
#
# A photograph was shrunk to a quarter of its width and height. Can a computer bring back what was lost?
#
# That is **super-resolution**, and it is the question of this course. Run the three cells below (click one, then press Shift+Enter) and look.

# %% tags=["nbval-ignore-output"]
# output not compared: it names this machine's versions and processor
from sr_course.lessons import setup

setup();

# %%
import torch

from sr_course import images, zoo
from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.resample import imresize

panda = photo("red_panda")
hr = images.read(panda.path)               # high resolution: the truth
lr = bicubic_lr(hr, scale=4)               # low resolution: what is left of it
bicubic = imresize(lr, 4).clamp(0, 1)      # enlarged the classical way
with torch.no_grad():
    srgan = zoo.load("srgan")(lr).clamp(0, 1)  # enlarged by a network
print("high", tuple(hr.shape), " low", tuple(lr.shape))

# %%
from sr_course.lessons import show

head, head_lr = (..., slice(40, 280), slice(80, 320)), (..., slice(10, 70), slice(20, 80))
pictures = {"bicubic": bicubic[head], "SRGAN": srgan[head], "truth": hr[head]}
show({"low resolution": lr[head_lr], **pictures}, columns=2,
     alt="A red panda's head: as square pixels, blurred, with crisp fur by SRGAN, and the truth")
print(f"Photograph: {panda.author}, {panda.licence}")

# %% [markdown]
# A picture is a block of numbers: one picture, three colours (red, green, blue), then its height and width in pixels. Each number lies between 0 (dark) and 1 (bright).
#
# First you see the pixels that are left. Bicubic draws a smooth curve through them: the squares are gone, but the fur is not back. SRGAN is a network that has seen many photographs. It draws fur. Is it *this* panda's fur? Compare it with the truth, hair by hair.
#
# Before you go on, make a guess: **of every hundred pixels of the truth, how many does the small picture keep?**

# %%
kept = lr.shape[-2] * lr.shape[-1]
all_of_them = hr.shape[-2] * hr.shape[-1]
print(f"{kept:,} of {all_of_them:,} pixels: {100 * kept / all_of_them:.2f} in a hundred")

# %% [markdown]
# Six in a hundred. A method that "enlarges four times" has to make up fifteen pixels of every sixteen. Where should they come from? Bicubic takes them from the neighbours, and lesson 1 shows how. SRGAN takes them from what it remembers of other photographs.
#
# ## How this course works
#
# | | |
# |---|---|
# | **You will** | see what is lost, do each idea by hand, then with the module, then move it with a widget, then measure it |
# | **You need** | some Python. No GPU, no download, no earlier course on networks |
# | **Time** | 10 minutes for this page, 60 to 90 for each lesson |
# | **Photographs** | their authors and licences: `datasets/CREDITS.md`. Texts: CC BY 4.0, code: MIT |
#
# Every lesson asks you to predict before it shows. A wrong guess is worth more than no guess, so take the few seconds.
#
# ### Widgets
#
# A widget is a picture that you can move. Drag the divider, or press the arrow keys. Zoom with the wheel or with `+`, and press `0` to go back.
#
# **Task:** zoom to the whiskers. What has bicubic put in their place? And are those of SRGAN where they should be?

# %%
from sr_course.widgets.compare import CompareSlider

CompareSlider({"low resolution": lr, "bicubic": bicubic, "SRGAN": srgan, "truth": hr},
              left="SRGAN", right="truth", scene=panda.description)

# %% [markdown]
# <details><summary>What there is to see</summary>
#
# Where a whisker runs, the small picture holds a few pixels that are slightly brighter than the fur around them. Bicubic makes one wide, pale band of them. Nothing in the small picture says that the band was a thin bright line. You know it, because you have seen animals before.
#
# SRGAN knows it too, and draws thin bright lines. The strong whiskers lie where they should. Of the fine ones some are missing, and some lines are there that the truth has not. What a network draws is likely. It is not evidence.
# </details>
#
# ### Numbers
#
# How wrong is a picture? The usual measure is PSNR, in decibels (dB): more is better. The usual second one is SSIM, where 1 is perfect. Lesson 1 computes both by hand. This course measures every method in the same way, on twelve photographs that no network of the course was trained on. The table grows with each lesson. Its first two rows:

# %%
from sr_course.lessons import results

tables = results(["nearest", "bicubic"])

# %%
gain = tables[1].psnr - tables[0].psnr
print(f"bicubic is {gain:.2f} dB better than copying pixels")
assert gain > 0

# %% [markdown]
# The first line of the table says how the numbers were measured. That line is not a detail: lesson 1 shows one pair of pictures that gets very different PSNRs, depending on nothing else.
#
# ### Exercises
#
# Each exercise has a self-check. It tells you what was expected and what your answer gives. It helps a little more with each try, and it accepts every right way.
#
# **Exercise 0.1.** Write a function that takes the scale and returns the share of pixels that is kept. Replace the `...`, and run the cell.

# %%
from sr_course.lessons.start import check_share


def share(scale):
    # solution begins; until then: return ...
    return 1 / scale**2
    # solution ends


check_share(share)

# %% [markdown]
# Stuck for good? The folder `solved` beside the lessons holds each of them with every answer.
#
# ## If something does not work
#
# Open a terminal and type `sr-course doctor`. It looks at your machine, line by line, and says what to do.
#
# ## Your own photograph
#
# The course is also a tool. In a terminal:
#
# ```
# sr-course upscale my_photo.jpg larger.png --scale 4
# ```
#
# It knows the networks too: add `--model srgan`.
#
# **Next:** [lesson 1, bicubic](01_bicubic.ipynb). What happens to a picture when it shrinks, and how far can a formula bring it back?
