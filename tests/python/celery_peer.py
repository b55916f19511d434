"""Celery on the same RabbitMQ: how fast it publishes with confirms, and how soon a task starts with acks_late.

    celery_peer.py publish COUNT        prints seconds for COUNT messages, one after the other
    celery_peer.py latency COUNT FILE   prints a line of milliseconds a task, from apply_async to its first statement;
                                            starts a worker of its own, idle when a task is sent

The broker's URL, which holds a password, comes in CELERY_PEER_URL.
"""

import os
import subprocess
import sys
import time

from celery import Celery

app = Celery("celery_peer", broker=os.environ["CELERY_PEER_URL"])
app.conf.update(
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue="celery_peer",
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="celery_peer.start")
def start(path):
    now = time.time_ns()
    with open(path, "a") as file:
        file.write(f"{now}\n")


@app.task(name="celery_peer.nothing")
def nothing(_):
    pass


def publish(count):
    nothing.apply_async(args=("warm",))
    began = time.perf_counter()
    for number in range(count):
        nothing.apply_async(args=(f"{number:032x}",))
    print(time.perf_counter() - began)


def latency(count, path):
    open(path, "w").close()
    arguments = ["-m", "celery", "-A", "celery_peer", "worker", "-c", "1", "-l", "ERROR", "--without-mingle", "--without-gossip"]
    # Its greeting does not belong among the figures.
    folder = os.path.dirname(os.path.abspath(__file__))
    worker = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        for number in range(count + 5):
            sent = time.time_ns()
            start.apply_async(args=(path,))
            started = wait(path, number + 1)
            # The first ones wait for the worker to start.
            if number >= 5:
                print((started - sent) / 1e6)
    finally:
        worker.terminate()
        worker.wait()


def wait(path, lines):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with open(path) as file:
            text = file.read()
        if text.count("\n") >= lines:
            return int(text.split()[lines - 1])
        time.sleep(0.002)
    raise TimeoutError("no worker took the task")


def main():
    what, count = sys.argv[1], int(sys.argv[2])
    if what == "publish":
        publish(count)
    else:
        latency(count, sys.argv[3])


if __name__ == "__main__":
    main()
