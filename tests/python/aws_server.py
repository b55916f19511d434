"""S3 and SQS on this machine: moto on a free port. Says {"port": …} when it is ready, ends with its standard input.

moto looks at a condition and writes then, in two steps that threads may share; S3 promises one. So every request but
SQS's, which may wait for messages, is served alone.
"""

import json
import logging
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import MotoRequestHandler
from werkzeug.serving import make_server


class OneAtATime:
    def __init__(self, app):
        self.app = app
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        if environ.get("HTTP_X_AMZ_TARGET", "").startswith("AmazonSQS"):
            return self.app(environ, start_response)
        with self.lock:
            return list(self.app(environ, start_response))


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    MotoRequestHandler.protocol_version = "HTTP/1.1"
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)
    sys.stdin.read()


main()
