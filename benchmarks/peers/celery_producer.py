"""Submits orders to Celery as its standard input says: `python -m benchmarks.peers.celery_producer`."""

from benchmarks.peers import lines
from benchmarks.peers.celery_app import ENDED, FOLDER, submit

if __name__ == "__main__":
    lines.listen(submit, lines.submitted(FOLDER), ENDED, threads=1)
