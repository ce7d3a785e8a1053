import sys

from thresher_report.cli import main

sys.exit(main())
