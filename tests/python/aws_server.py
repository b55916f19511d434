"""S3 and SQS on this machine: moto on a free port. Says {"port": …} when it is ready, ends with its standard input.
usage: aws_server.py [OBJECTS], which is how many a page of a list has (1000, as on AWS).

moto looks at a condition and writes then, in two steps that threads may share; S3 and SQS promise one. So every request
is served alone, but for the waiting of a long poll. A long poll whose client is gone takes no message, as on AWS.
"""

import json
import logging
import os
import select
import socket
import sys
import threading
import time

os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = sys.argv[1] if len(sys.argv) > 1 else "1000"

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import MotoRequestHandler
from moto.sqs.models import SQSBackend
from werkzeug.serving import make_server

ALONE = threading.RLock()
CLIENT = threading.local()
LOOK_SECONDS = 0.05  # Ends of delays and visibilities wake nobody in moto.


class OneAtATime:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        if environ.get("HTTP_X_AMZ_TARGET") == "AmazonSQS.ReceiveMessage":
            CLIENT.socket = environ.get("werkzeug.socket")
            return self.app(environ, start_response)
        with ALONE:
            return list(self.app(environ, start_response))


def client_is_gone():
    client = getattr(CLIENT, "socket", None)
    if client is None or not select.select([client], [], [], 0)[0]:
        return False
    return client.recv(1, socket.MSG_PEEK) == b""


def receive_message(self, queue_name, count, wait_seconds_timeout, visibility_timeout, message_attribute_names=None):
    until = time.monotonic() + (wait_seconds_timeout or 0)
    while True:
        with ALONE:
            if client_is_gone():
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
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    MotoRequestHandler.protocol_version = "HTTP/1.1"
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)
    sys.stdin.read()


main()
