"""Runs Python scripts one after the other in one process, so that torch and transformers are imported once.

Standard input: a JSON line a script, [path, argument, …]. Standard output: a JSON line each, null or the traceback of what it raised.
Whatever the scripts print goes to standard error.
"""

import json
import os
import runpy
import sys
import traceback

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    sys.argv = json.loads(line)
    failure = None
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except (Exception, SystemExit):
        failure = traceback.format_exc()
    print(json.dumps(failure), file=answers, flush=True)
