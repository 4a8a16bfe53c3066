"""The command line as `python -m jaxgen.cli`."""

import sys

from jaxgen.cli import main

sys.exit(main())
