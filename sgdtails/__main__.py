"""``python -m sgdtails``: the command ``sgdtails``."""

import sys

from sgdtails.cli import main

sys.exit(main())
