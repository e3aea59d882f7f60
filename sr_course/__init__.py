"""Image super-resolution, taught and implemented: see the lessons in `notebooks/` and the modules of this package.

Importing the package is cheap: it loads neither torch nor a plotting library. Import the module that you need,
for example `from sr_course.metrics import psnr`.
"""

__version__ = "0.1.0"
