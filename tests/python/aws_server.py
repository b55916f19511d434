"""S3 and SQS on this machine: moto on a free port. Says {"port": …} when it is ready, ends with its standard input.
usage: aws_server.py [OBJECTS], which is how many a page of a list has (1000, as on AWS).

moto looks at a condition and writes then, in two steps that threads may share; S3 and SQS promise one. So every request
is served alone, but for the waiting of a long poll. A long poll whose client is gone takes no message, as on AWS.
"""

import json
import logging
import os
import sys
import threading
import time

os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = sys.argv[1] if len(sys.argv) > 1 else "1000"

import moto.backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.sqs.models import SQSBackend
from waitress import create_server

# moto asks the file system for each of its 170 folders, at every request.
MODULES = frozenset(moto.backends.list_of_moto_modules())
moto.backends.list_of_moto_modules = lambda: MODULES

ALONE = threading.RLock()
CLIENT = threading.local()
LOOK_SECONDS = 0.05  # Ends of delays and visibilities wake nobody in moto.


class OneAtATime:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        environ["RAW_URI"] = environ["REQUEST_URI"]
        if environ.get("HTTP_X_AMZ_TARGET") == "AmazonSQS.ReceiveMessage":
            CLIENT.gone = environ["waitress.client_disconnected"]
            return self.app(environ, start_response)
        with ALONE:
            return list(self.app(environ, start_response))


def receive_message(self, queue_name, count, wait_seconds_timeout, visibility_timeout, message_attribute_names=None):
    until = time.monotonic() + (wait_seconds_timeout or 0)
    while True:
        with ALONE:
            if CLIENT.gone():
                return []
            found = take(self, queue_name, count, 0, visibility_timeout, message_attribute_names)
            queue = self.get_queue(queue_name)
        left = until - time.monotonic()
        if found or left <= 0:
            return found
        queue.wait_for_messages(min(left, LOOK_SECONDS))


take = SQSBackend.receive_message
SQSBackend.receive_message = receive_message


def main():
    logging.getLogger("waitress").setLevel(logging.ERROR)
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    # A thread for each long poll of a fleet's workers. Bodies stay in memory, and connections open, as those of AWS do.
    server = create_server(
        app, host="127.0.0.1", port=0, threads=64, connection_limit=4000, asyncore_use_poll=True,
        channel_request_lookahead=1, recv_bytes=1 << 18, inbuf_overflow=1 << 28, outbuf_overflow=1 << 28,
        max_request_body_size=1 << 34,
    )
    threading.Thread(target=server.run, daemon=True).start()
    print(json.dumps({"port": int(server.effective_port)}), flush=True)
    sys.stdin.read()


main()
