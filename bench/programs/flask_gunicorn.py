# SPDX-License-Identifier: Apache-2.0
"""A Flask application under gunicorn with one worker, and a client that asks it again and again.

The server is what is recorded, so it is named in TARGETS; the client is this process.
"""
import http.client
import os
import signal
import socket
import subprocess
import sys
import time

import flask

TARGETS = []
app = flask.Flask(__name__)


@app.route("/items/<int:number>")
def items(number):
    return flask.render_template_string(
        "<ul>{% for i in range(n) %}<li>{{ i }}: {{ name }}</li>{% endfor %}</ul>",
        n=number, name=flask.request.args.get("name", "nobody"))


@app.route("/json")
def as_json():
    return flask.jsonify({"squares": [i * i for i in range(20)]})


class Server:
    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        here = os.path.dirname(os.path.abspath(__file__))
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-w", "1", "-b", "127.0.0.1:%d" % self.port,
             "--log-level", "error", "flask_gunicorn:app"], cwd=here, env=environment)
        for _ in range(600):
            try:
                self.get("/json")
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit("gunicorn does not answer")

    def get(self, path):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            client.request("GET", path)
            reply = client.getresponse()
            body = reply.read()
        finally:
            client.close()
        if reply.status != 200:
            raise SystemExit("gunicorn answers %d" % reply.status)
        return body


SERVER = []


def setup(scale):
    server = Server()
    SERVER.append(server)
    TARGETS.append(server.process.pid)
    with open("/proc/%d/task/%d/children" % (server.process.pid, server.process.pid)) as file:
        TARGETS.extend(int(pid) for pid in file.read().split())


def workload(scale):
    for i in range(100 * scale):
        SERVER[0].get("/items/%d?name=x" % (i % 20))
        SERVER[0].get("/json")


def teardown():
    SERVER[0].process.send_signal(signal.SIGTERM)
    SERVER[0].process.wait()
