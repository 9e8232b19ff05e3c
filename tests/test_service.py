"""The service of chapter 13b: contract, hostile requests, fuzzing from its own description, recovery, drawing page, container recipe."""
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from conftest import ROOT
from course_lib.data import load_mnist
from course_lib.forward import forward, softmax
from course_lib.service import (BATCH_BYTES, ENDPOINTS, SINGLE_BYTES, RequestError, Server, _page, ask, create_app, load_model, load_test, parse_images, prepare_drawing,
                                recovery)

JSON, BYTES = "application/json", "application/octet-stream"
PARAMS, SHA256 = load_model()
IMAGES = load_mnist(dtype=np.uint8).X_test[:64]
PROBS = softmax(forward(PARAMS, IMAGES / np.float32(255))[0])
DIGITS = PROBS.argmax(axis=1)
FLAT = IMAGES[0].tolist()
GOOD = json.dumps({"image": FLAT}).encode()


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def talk(server, *parts, pause=0.0, timeout=20):
    """Send parts as they are, then read until the service closes or has answered; gives (status, body, seconds)."""
    host, port = server.url.removeprefix("http://").split(":")
    begun, received = time.monotonic(), b""
    with socket.create_connection((host, int(port)), timeout=timeout) as s:
        try:
            for part in parts:
                s.sendall(part)
                time.sleep(pause)
        except OSError:
            pass                                    # the service had enough
        while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < int((re.search(rb"content-length: (\d+)", received) or [0, 0])[1]):
            more = s.recv(65536)
            if not more:
                break
            received += more
    return int(received.split(b" ")[1]), received.partition(b"\r\n\r\n")[2], time.monotonic() - begun


def head(path="/predict", method="POST", kind=JSON, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *([f"Content-Type: {kind}"] if kind else []), *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin1")


def still_right(server):
    reply = ask(server.url + "/predict", GOOD)
    assert reply.status == 200 and reply.json()["digit"] == DIGITS[0]


def is_error(body):
    error = json.loads(body)["error"]
    return set(error) == {"code", "value", "expected", "remedy"} and all(isinstance(v, str) and v for v in error.values())


def test_answers_are_the_model_s(server):
    for x, p in zip(IMAGES[:8], PROBS):
        for body, kind in ((json.dumps({"image": x.tolist()}).encode(), JSON), (json.dumps({"image": x.reshape(28, 28).tolist()}).encode(), JSON), (x.tobytes(), BYTES)):
            reply = ask(server.url + "/predict", body, kind)
            assert reply.status == 200 and reply.json()["digit"] == p.argmax() and np.allclose(reply.json()["probabilities"], p, atol=1e-6)
    for body, kind in ((json.dumps({"images": IMAGES.tolist()}).encode(), JSON), (IMAGES.tobytes(), BYTES)):
        assert [a["digit"] for a in ask(server.url + "/predict/batch", body, kind).json()["answers"]] == DIGITS.tolist()


def test_health_names_the_model(server):
    assert ask(server.url + "/health").json() == {"live": True, "ready": True, "model": "lenet_300_100_0", "sha256": SHA256}
    assert ask(server.url + "/ready").status == 200


def test_metrics_count_what_happened():
    with Server() as server:
        for _ in range(3):
            ask(server.url + "/predict", GOOD)
        ask(server.url + "/predict", b"{}")
        for k in range(5):
            ask(f"{server.url}/unknown/{k}")
        text = ask(server.url + "/metrics").body.decode()
    assert 'service_requests_total{endpoint="/predict",status="200"} 3.0' in text and 'service_requests_total{endpoint="/predict",status="422"} 1.0' in text
    assert 'service_requests_total{endpoint="other",status="404"} 5.0' in text and "unknown" not in text, "a stranger must not create series"
    assert f'service_predictions_total{{digit="{DIGITS[0]}"}} 3.0' in text and "service_confidence_count 3.0" in text
    assert 'service_request_seconds_bucket{endpoint="/predict",le="+Inf"} 4.0' in text and f'service_model{{sha256="{SHA256}",version="lenet_300_100_0"}} 1.0' in text


def test_metrics_can_be_parsed(server):
    """By Prometheus' own parser; and neither unknown paths nor unknown methods make new series."""
    from prometheus_client.parser import text_string_to_metric_families
    samples = lambda: {(s.name, *sorted(s.labels.items())) for f in text_string_to_metric_families(ask(server.url + "/metrics").body.decode()) for s in f.samples}
    ask(server.url + "/no"), talk(server, head("/no/2", "PURGE", ""))
    samples()
    before = samples()
    for k in range(40):
        talk(server, head(f"/{k}%ff%00", ("GET", "PUT", "PURGE")[k % 3], ""))
    assert samples() == before and ("service_model", ("sha256", SHA256), ("version", "lenet_300_100_0")) in before


def test_two_apps_in_one_process():
    """Registries are per app: a second one neither fails nor counts for the first."""
    first, second = create_app(PARAMS), create_app(PARAMS)
    first.state.brain.answer(IMAGES[:1])
    assert b"service_confidence_count 1.0" in first.state.brain.metrics.text() and b"service_confidence_count 0.0" in second.state.brain.metrics.text()


BAD = {
    "nan": (GOOD.replace(b"[0", b"[NaN", 1), JSON, 422), "infinity": (GOOD.replace(b"[0", b"[-Infinity", 1), JSON, 422), "1e400": (GOOD.replace(b"[0", b"[1e400", 1), JSON, 422),
    "true": (GOOD.replace(b"[0", b"[true", 1), JSON, 422), "string": (GOOD.replace(b"[0", b'["0"', 1), JSON, 422), "null": (GOOD.replace(b"[0", b"[null", 1), JSON, 422),
    "object": (GOOD.replace(b"[0", b"[{}", 1), JSON, 422), "fraction": (GOOD.replace(b"[0", b"[0.5", 1), JSON, 422), "0.0": (GOOD.replace(b"[0", b"[0.0", 1), JSON, 422),
    "256": (GOOD.replace(b"[0", b"[256", 1), JSON, 422), "-1": (GOOD.replace(b"[0", b"[-1", 1), JSON, 422), "4000 digits": (GOOD.replace(b"[0", b"[" + b"9" * 4000, 1), JSON, 422),
    "6000 digits": (GOOD.replace(b"[0", b"[" + b"9" * 6000, 1), JSON, 400), "scaled": (json.dumps({"image": [0, 1] * 392}).encode(), JSON, 422),
    "783": (json.dumps({"image": FLAT[1:]}).encode(), JSON, 422), "785": (json.dumps({"image": [0, *FLAT]}).encode(), JSON, 422), "empty": (b'{"image": []}', JSON, 422),
    "28 mixed": (json.dumps({"image": [[0] * 28] * 27 + [0]}).encode(), JSON, 422), "ragged": (json.dumps({"image": [[0] * 28] * 27 + [[0] * 29]}).encode(), JSON, 422),
    "no key": (b"{}", JSON, 422), "list": (json.dumps(FLAT).encode(), JSON, 422), "number": (b"7", JSON, 422), "key twice": (GOOD[:-1] + b', "image": 1}', JSON, 422),
    "key twice, escaped": (b'{"im\\u0061ge": [1], ' + GOOD[1:], JSON, 422), "more keys": (GOOD[:-1] + b', "x": 1}', JSON, 422), "two documents": (GOOD + GOOD, JSON, 400),
    "nothing": (b"", JSON, 400), "half": (GOOD[:-2], JSON, 400), "utf-16": (GOOD.decode().encode("utf16"), JSON, 400), "latin": (b'{"im\xe4ge": 1}', JSON, 400),
    "nested": (b"[" * 30000, JSON, 400), "nested objects": (b'{"image":' * 3000, JSON, 400), "no type": (GOOD, "", 415), "text": (GOOD, "text/plain", 415),
    "form": (GOOD, "application/x-www-form-urlencoded", 415), "783 bytes": (IMAGES[0].tobytes()[1:], BYTES, 422), "no bytes": (b"", BYTES, 422),
    "bytes of 0 and 1": (b"\0\1" * 392, BYTES, 422), "too large": (GOOD + b" " * SINGLE_BYTES, JSON, 413), "much too large": (GOOD + b" " * 3_000_000, JSON, 413),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_refused(server, name):
    body, kind, status = BAD[name]
    got, text, seconds = talk(server, head(kind=kind, Content_Length=len(body)), body)
    assert got == status and is_error(text) and len(text) < 2000 and seconds < 5, text
    still_right(server)


@pytest.mark.parametrize("many", (0, 257))
def test_a_batch_is_bounded(server, many):
    for body, kind in ((json.dumps({"images": [FLAT] * many}).encode(), JSON), (IMAGES[:1].tobytes() * many, BYTES)):
        assert ask(server.url + "/predict/batch", body, kind).status == 422
    assert ask(server.url + "/predict/batch", b" " * (BATCH_BYTES + 1)).status == 413
    still_right(server)


RAW = {
    "not HTTP": ((b"hello\r\n\r\n",), 400), "TLS": ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),), 400), "random": ((np.random.default_rng(3).bytes(500),), 400),
    "traversal": ((head("/../../../etc/passwd", "GET", ""),), 404), "escaped traversal": ((head("/%2e%2e/%2e%2e/etc/passwd", "GET", ""),), 404), "null byte": ((head("/predict%00", "GET", ""),), 404),
    "bad escape": ((head("/%ff%zz", "GET", ""),), 404), "slash": ((head("/predict/", Content_Length=0),), 404), "GET": ((head("/predict", "GET", ""),), 405), "DELETE": ((head("/", "DELETE", ""),), 405),
    "unknown method": ((head("/", "BREW", ""),), (400, 405)), "two lengths": ((head(Content_Length=3, content_length=4) + b"abcd",), 400), "negative": ((head(Content_Length=-5),), 400),
    "no number": ((head(Content_Length="many"),), 400), "length and chunks": ((head(Content_Length=5, Transfer_Encoding="chunked") + b"0\r\n\r\n",), 400),
    "bad chunk": ((head(Transfer_Encoding="chunked") + b"xyz\r\n",), 400), "huge length": ((head(Content_Length=10**12),), 413), "absurd length": ((head(Content_Length=10**19),), (400, 413)),
    "gzip": ((head(Content_Encoding="gzip", Content_Length=2) + b"\x1f\x8b",), 415), "long header": ((head(X="a" * 70_000, Content_Length=2) + b"{}",), (400, 413, 422, 431)),
    "endless head": ((head(X="a" * 3_000_000),), 431), "endless path": ((head("/" + "a" * 3_000_000, "GET", ""),), 431), "many headers": ((head(**{f"X{i}": "y" * 50 for i in range(30_000)}),), 431),
    "chunks of one byte": ((head("/predict/batch", Transfer_Encoding="chunked") + b"1\r\n \r\n" * 300_000,), 431),
    "long path": ((head("/" + "a" * 60_000, "GET", ""),), (400, 404, 414)),
}


@pytest.mark.parametrize("name", RAW)
def test_bad_http_is_refused(server, name):
    parts, statuses = RAW[name]
    status, body, seconds = talk(server, *parts)
    assert status in (statuses if isinstance(statuses, tuple) else (statuses,)) and is_error(body) and seconds < 5, (status, body)
    still_right(server)


def test_chunks_without_end_are_cut(server):
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    status, body, seconds = talk(server, head(Transfer_Encoding="chunked"), *[chunk] * 3000)
    assert status == 413 and is_error(body) and seconds < 10
    still_right(server)


def test_a_slow_sender_is_dropped_and_others_are_served(server):
    """A slow head, a slow body and a body shorter than declared: each 408 after some 5 s, and nobody else waits."""
    def drip(first, rest, found, key):
        found[key] = talk(server, first, *[rest[i:i + 1] for i in range(60)], pause=0.15)
    found, body = {}, b" " * 100
    slow = {"head": (head()[:-2], b"X-Slow: " + b"a" * 100), "body": (head(Content_Length=100), body), "short": (head(Content_Length=2000) + body, b"")}
    threads = [threading.Thread(target=drip, args=(*parts, found, key)) for key, parts in slow.items()]
    for t in threads:
        t.start()
    for _ in range(20):
        begun = time.monotonic()
        still_right(server)
        assert time.monotonic() - begun < 3
        time.sleep(0.1)
    for t in threads:
        t.join(30)
    assert {key: f[0] for key, f in found.items()} == {"head": 408, "body": 408, "short": 408} and all(f[2] < 15 for f in found.values())
    still_right(server)


def test_an_aborted_request_leaves_no_trace(server):
    host, port = server.url.removeprefix("http://").split(":")
    for _ in range(20):
        with socket.create_connection((host, int(port))) as s:
            s.sendall(head(Content_Length=784) + b"{")
    still_right(server)
    time.sleep(0.3)
    assert "service_in_flight 0.0" in ask(server.url + "/metrics").body.decode() and 'status="500"' not in ask(server.url + "/metrics").body.decode()


def opened(server, many):
    host, port = server.url.removeprefix("http://").split(":")
    return [socket.create_connection((host, int(port)), timeout=30) for _ in range(many)]


def in_flight(server):
    return float(re.search(r"^service_in_flight (.*)$", ask(server.url + "/metrics").body.decode(), re.M)[1])


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_full_service_says_when_to_come_back(server):
    """With the line full of unfinished batches: 503 with Retry-After for a batch, single images go on; afterwards all is well."""
    body = json.dumps({"images": [FLAT]}).encode()
    waiting = opened(server, 32)
    try:
        for s in waiting:
            s.sendall(head("/predict/batch", Content_Length=len(body)))
        assert until(lambda: in_flight(server) == 32)
        busy = ask(server.url + "/predict/batch", body)
        assert busy.status == 503 and busy.headers["Retry-After"] == "1" and is_error(busy.body)
        assert ask(server.url + "/ready").status == 200
        still_right(server)
        for s in waiting:
            s.sendall(body)
        assert all(s.recv(4096).startswith(b"HTTP/1.1 200") for s in waiting), "those that were taken are answered"
    finally:
        for s in waiting:
            s.close()
    assert ask(server.url + "/predict/batch", body).status == 200


def test_a_full_line_of_single_images():
    """Two of two places taken: the third gets 503 and /ready says no, while /health says alive; afterwards both say yes."""
    import asyncio
    app = create_app(PARAMS, in_flight=2)
    app.state.brain.warm = True

    async def play():
        go = asyncio.Event()

        async def one(path, method="POST", wait=False):
            got = []
            async def receive():
                if wait:
                    await go.wait()
                return {"type": "http.request", "body": GOOD, "more_body": False}
            async def send(message):
                got.append(message)
            scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
                     "root_path": "", "scheme": "http", "headers": [(b"content-type", b"application/json")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
            await app(scope, receive, send)
            return got[0]["status"]
        slow = [asyncio.create_task(one("/predict", wait=True)) for _ in range(2)]
        while app.state.brain.busy["/predict"] < 2:
            await asyncio.sleep(0.01)
        during = [await one("/predict"), await one("/ready", "GET"), await one("/health", "GET")]
        go.set()
        return during, [await s for s in slow], [await one("/predict"), await one("/ready", "GET")]
    with ThreadPoolExecutor(1) as thread:       # the browser's loop may be running in this one
        assert thread.submit(asyncio.run, play()).result() == ([503, 503, 200], [200, 200], [200, 200])


@pytest.mark.parametrize("what", ("bodies", "heads", "trailers", "bodies for a path that reads none"))
def test_many_slow_senders_keep_nobody_out(server, what):
    start = {"bodies": head(Content_Length=2000) + b"{", "heads": head()[:-2] + b"X: y", "trailers": head(Transfer_Encoding="chunked") + b"2\r\n{}\r\n0\r\nX: ",
             "bodies for a path that reads none": head("/health", Content_Length=10**6) + b"x"}[what]
    slow = opened(server, 200)
    try:
        for s in slow:
            s.sendall(start)
        for _ in range(5):
            still_right(server)
    finally:
        for s in slow:
            s.close()
    assert until(lambda: in_flight(server) == 0)


@pytest.mark.parametrize("list_", (b"[]", b"{}", b"[[[[]]]]"))
def test_a_batch_of_lists_is_refused_before_it_is_parsed(server, list_):
    """1.5 MB of brackets would be some 100 MB of lists, and half a second in which nobody is served."""
    body = (b'{"images":[' + list_ + (b"," + list_) * 2_000_000)[:1_570_000]
    begun = time.process_time()
    with pytest.raises(RequestError) as refused:
        parse_images(body, JSON, 256)
    assert refused.value.status == 422 and time.process_time() - begun < 0.2
    threads = [threading.Thread(target=lambda: ask(server.url + "/predict/batch", body)) for _ in range(20)]
    for t in threads:
        t.start()
    begun = time.monotonic()
    still_right(server)
    assert time.monotonic() - begun < 5
    for t in threads:
        t.join(30)


def test_the_largest_batch_in_rows_is_taken(server):
    body = json.dumps({"images": [np.array(FLAT).reshape(28, 28).tolist()] * 256}).encode()
    assert len(ask(server.url + "/predict/batch", body).json()["answers"]) == 256


def test_answers_that_nobody_reads_do_not_stop_the_service(server):
    """Unread answers pile up in one connection; others are served, and the memory of the worker stays bounded."""
    before = server.worker().memory_info().rss
    unread = opened(server, 4)
    try:
        for s in unread:
            s.settimeout(1)
            try:
                for _ in range(200):
                    s.sendall(head("/", "GET", "") * 50)
            except OSError:
                pass                                # the service reads no more
        still_right(server)
        assert server.worker().memory_info().rss - before < 100e6
    finally:
        for s in unread:
            s.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=2000), kind=st.sampled_from([JSON, BYTES, "text/html", "application/json; charset=utf-8"]), path=st.sampled_from(["/predict", "/predict/batch"]))
def test_random_bytes_are_refused(server, body, kind, path):
    reply = ask(server.url + path, body, kind)
    assert 400 <= reply.status < 500 and is_error(reply.body) or reply.status == 200 and kind == BYTES and len(body) and len(body) % 784 == 0


VALUE = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda v: st.lists(v, max_size=5) | st.dictionaries(st.text(max_size=5), v, max_size=3), max_leaves=20)


@settings(max_examples=300, deadline=None)
@given(st.one_of(VALUE, VALUE.map(lambda v: {"image": v}), VALUE.map(lambda v: {"images": v}), st.tuples(st.integers(0, 783), VALUE).map(lambda p: {"image": [*FLAT[:p[0]], p[1], *FLAT[p[0] + 1:]]})))
def test_any_json_is_answered_or_refused(value):
    """Whatever JSON says: an image of 784 whole numbers, or a refusal in words; never another exception."""
    for most in (None, 4):
        try:
            found = parse_images(json.dumps(value).encode(), JSON, most)
        except RequestError as e:
            assert 400 <= e.status < 500 and is_error(json.dumps(e.content)) and len(json.dumps(e.content)) < 2000
        else:
            assert most is None and found.tolist() == [value["image"]] and all(type(p) is int for p in value["image"])


def _schema():
    import schemathesis
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(PARAMS, SHA256, "test"))


def test_the_description_is_complete():
    document = create_app(PARAMS).openapi()
    assert set(document["paths"]) == set(ENDPOINTS) - {"/openapi.json"}
    for path in document["paths"].values():
        for operation in path.values():
            assert "200" in operation["responses"] and operation["summary"]
    assert not re.search(r"https?://(?!127\.0\.0\.1)", json.dumps(document)), "no address of another host"


try:
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (content_type_conformance, negative_data_rejection, response_schema_conformance, status_code_conformance,
                                                   unsupported_method)
except ImportError:                                  # a development tool
    schemathesis = None

if schemathesis:
    @_schema().parametrize()
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def test_fuzz_from_the_description(case):
        """schemathesis makes requests up, right and wrong ones: no 5xx, only documented statuses, replies as described."""
        case.call_and_validate(checks=[not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance, negative_data_rejection, unsupported_method])


def test_load_without_errors(server):
    for given in (dict(), dict(raw=True), dict(rate=100, connections=32)):
        load = load_test(server.url, IMAGES, DIGITS, seconds=1, **given)
        assert load.errors == 0 and load.statuses == {"200": len(load.latencies)} and len(load.latencies) > 20


def test_load_stays_on_this_machine():
    for url, given in (("http://example.org", {}), ("http://10.0.0.1:8000", {}), ("http://127.0.0.1:1", dict(seconds=1000)), ("http://127.0.0.1:1", dict(connections=9999))):
        with pytest.raises(ValueError):
            load_test(url, IMAGES, DIGITS, **given)


def test_a_wrong_answer_is_counted(server):
    load = load_test(server.url, IMAGES, (DIGITS + 1) % 10, seconds=0.3)
    assert load.wrong == load.errors == len(load.latencies) > 0


def test_recovery_after_a_kill():
    with Server() as server:
        for _ in range(2):
            before = server.worker().pid
            found = recovery(server, IMAGES[0], int(DIGITS[0]), np.random.default_rng(0))
            assert found["wrong"] == 0 and found["seconds"] < 30 and server.worker().pid != before


def test_the_service_ends_with_its_notebook():
    """A killed notebook leaves neither supervisor nor worker."""
    import psutil
    code = "import os; from course_lib.service import Server; s = Server().start(); print(s.process.pid, s.worker().pid, flush=True); os.kill(os.getpid(), 9)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    pids = [int(p) for p in ran.stdout.split()]
    assert len(pids) == 2
    gone = lambda p: not psutil.pid_exists(p) or psutil.Process(p).status() == psutil.STATUS_ZOMBIE
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not all(map(gone, pids)):
        time.sleep(0.2)
    assert all(map(gone, pids))


def course(*arguments, **given):
    from pathlib import Path
    return subprocess.Popen([Path(sys.executable).with_name("course"), "serve", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **given)


def test_course_serve_and_a_taken_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        taken = s.getsockname()[1]
        with course("--port", taken) as process:
            said = process.stderr.read().strip()
        assert process.returncode == 1 and str(taken) in said and "another port" in said and len(said.splitlines()) == 1
    with course("--port", taken) as process:
        address = process.stdout.readline()
        assert address.startswith(f"http://127.0.0.1:{taken} ")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                assert ask(f"http://127.0.0.1:{taken}/health").status == 200
                break
            except OSError:
                time.sleep(0.1)
        process.terminate()
        assert process.wait(20) == 0 and process.stderr.read() == ""


@pytest.mark.parametrize("content", (None, b"PK\x03\x04 not a zip"))
def test_course_serve_refuses_a_bad_model(tmp_path, content):
    path = tmp_path / "model.npz"
    if content is not None:
        path.write_bytes(content)
    with course("--model", path, "--port", 0) as process:
        said = process.stderr.read().strip()
    assert process.returncode == 1 and "model.npz" in said and len(said.splitlines()) == 1


class Trap:
    def __reduce__(self):
        return os.abort, ()


PICKLED = np.empty(1, object)
PICKLED[0] = Trap()
BAD_MODELS = {"pickled objects": {"W1": PICKLED}, "complex": {k: v.astype(complex) for k, v in PARAMS.items()}, "strings": {"b1": np.array(["x"] * 300)}, "NaN": {"b3": np.full(10, np.nan)},
              "overflow": {"W1": np.full((784, 300), 3e38)}, "nine classes": {"W3": PARAMS["W3"][:, :9], "b3": PARAMS["b3"][:9]}, "another shape": {"b1": PARAMS["b1"][:1]}}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [*BAD_MODELS, "empty", "cut", "rotten", "a folder", "no network"])
def test_a_bad_model_is_refused(tmp_path, name):
    """A `ValueError` in words, and nothing that a file holds is run."""
    path = tmp_path / "model.npz"
    np.savez_compressed(path, **(PARAMS | BAD_MODELS.get(name, {})))
    data = bytearray(path.read_bytes())
    if name == "rotten":
        data[5000:5200] = b"\xff" * 200
    if name in ("empty", "cut", "rotten"):
        path.write_bytes(data[:{"empty": 0, "cut": len(data) // 2}.get(name, len(data))])
    if name == "no network":
        np.savez(path)
    with pytest.raises(ValueError, match=tmp_path.name if name == "a folder" else "model.npz"):
        load_model(tmp_path if name == "a folder" else path)


# The drawing page in a real browser.

@pytest.fixture
def page(browser, server):
    """The page; afterwards no request has left the machine and the console shows no error."""
    context = browser.new_context(viewport={"width": 900, "height": 700}, has_touch=True)
    context.set_default_timeout(15_000)
    page, away, errors = context.new_page(), [], []
    page.on("request", lambda r: away.append(r.url) if urlsplit(r.url).hostname not in ("127.0.0.1", None) else None)
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(server.url)
    yield page
    context.close()
    assert not away, f"requests to other hosts: {away}"
    assert not errors, f"console errors: {errors}"


def draw(page, points):
    box = page.locator("#draw").bounding_box()
    page.mouse.move(box["x"] + points[0][0], box["y"] + points[0][1])
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()


def digit(page):
    page.locator("#answer", has_text="looks like").wait_for()
    return re.search(r"a (\d)", page.locator("#answer").inner_text())[1]


def test_draw_with_the_mouse(page):
    draw(page, [(60, 60), (210, 60), (140, 230)])
    assert digit(page) == "7"
    percents = [float(t.split()[0]) for t in page.locator("li .percent").all_inner_texts()]
    assert len(percents) == 10 and abs(sum(percents) - 100) < 1 and page.locator("li.best .digit").inner_text() == "7"
    if shots := os.environ.get("COURSE_SCREENSHOTS"):
        page.screenshot(path=f"{shots}/service-page.png")
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#answer").inner_text() == "Nothing is drawn yet." and page.locator("li.best").count() == 0
    angle = np.linspace(0, 2 * np.pi, 25)
    draw(page, [(140 + 60 * np.sin(a), 140 - 90 * np.cos(a)) for a in angle])
    assert digit(page) == "0"


def test_only_the_first_button_draws(page):
    box = page.locator("#draw").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.up(button="right")
    assert not page.evaluate("drawing().some(Boolean)")
    page.mouse.click(box["x"] + 277, box["y"] + 277)
    assert page.evaluate("drawing()[280 * 280 - 1] > 0"), "the pointer draws where it is, to the last corner"


def test_draw_with_the_keyboard(page):
    page.locator("#draw").focus()
    page.keyboard.press("Space")
    assert page.locator("#pen").inner_text() == "The pen is down."
    for _ in range(14):
        page.keyboard.press("ArrowDown")
    assert digit(page) == "1"
    page.keyboard.press("Escape")
    assert page.locator("#answer").inner_text() == "Nothing is drawn yet."


def test_draw_with_a_finger(page):
    """Touch events of the browser's own protocol become pointer events; the page does not scroll meanwhile."""
    box, touch = page.locator("#draw").bounding_box(), page.context.new_cdp_session(page)
    at = lambda x, y: [{"x": box["x"] + x, "y": box["y"] + y}]
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": at(140, 40)})
    for y in range(50, 250, 20):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": at(140, y)})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert digit(page) == "1" and page.evaluate("scrollY") == 0


def test_the_page_prepares_as_the_library_does(page):
    """The same drawing, prepared in JavaScript and in Python, gives the same 784 pixels."""
    rng = np.random.default_rng(0)
    for h, w in ((280, 280), (60, 30), (9, 50), (1, 1), (33, 200)):
        ink = np.zeros((h, w), int)
        y, x = rng.integers(0, h, 2), rng.integers(0, w, 2)
        ink[y.min():y.max() + 1, x.min():x.max() + 1] = rng.integers(0, 256, (np.ptp(y) + 1, np.ptp(x) + 1))
        theirs = page.evaluate("([v, h, w]) => Array.from(prepare(v, h, w))", [ink.ravel().tolist(), h, w])
        assert np.abs(np.array(theirs) - prepare_drawing(ink).ravel().astype(int)).max() <= 1


def test_dark_mode_and_labels(page):
    background = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    light = background()
    page.emulate_media(color_scheme="dark")
    assert background() != light
    if shots := os.environ.get("COURSE_SCREENSHOTS"):
        draw(page, [(80, 60), (200, 60), (130, 140), (200, 190), (80, 230)])
        digit(page)
        page.screenshot(path=f"{shots}/service-page-dark.png")
    unnamed = page.evaluate("[...document.querySelectorAll('canvas, button, ol')].filter(e => !(e.getAttribute('aria-label') || e.textContent.trim())).length")
    assert unnamed == 0 and page.evaluate("document.documentElement.lang") == "en"
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_says_when_the_service_is_gone(browser):
    with Server() as server:
        page = browser.new_page()
        page.goto(server.url)
        server.stop()
        draw(page, [(140, 40), (140, 240)])
        page.locator("#answer", has_text="does not answer").wait_for()
        page.close()


def test_the_page_names_no_other_host(server):
    assert not re.search(r"(?:https?:)?//(?!127\.0\.0\.1)[a-z0-9-]+\.", _page())
    policy = ask(server.url + "/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy


# The container recipe, as text and by running its program outside a container.

RECIPE = (ROOT / "container" / "Containerfile").read_text()
COPIED = [line.split()[1:] for line in RECIPE.splitlines() if line.startswith("COPY") and "--from" not in line]


def test_container_recipe():
    images = re.findall(r"^FROM (\S+)", RECIPE, re.M)
    assert images and all(re.search(r":\d+\.\d+\.\d+-", i) for i in images) and len(set(images)) == 1, "the base has a full version"
    last = RECIPE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001$", last, re.M) and last.index("USER") < last.index("ENTRYPOINT") and "HEALTHCHECK" in last
    assert "-c /build/requirements.lock" in RECIPE and "--read-only" in RECIPE and not re.search(r"\bADD\b|latest|curl|apt-get", RECIPE)
    for *sources, _ in COPIED:
        assert all((ROOT / s).is_file() for s in sources)
    locked = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "requirements.lock").read_text().splitlines()}
    installed = re.search(r"requirements\.lock \\\n\s+(.*)", RECIPE)[1]
    assert {re.sub(r"\[.*", "", p) for p in shlex.split(installed)} <= locked


def test_the_container_s_program_runs(tmp_path):
    """The files that the recipe copies are enough, in a folder that cannot be written to."""
    for *sources, target in COPIED:
        for s in sources:
            if target.startswith("/app"):
                place = tmp_path / target.removeprefix("/app/") / ("" if not target.endswith("/") else s.rpartition("/")[2])
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / s, place)
    tmp_path.chmod(0o555)
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    command = json.loads(re.search(r"^ENTRYPOINT (.*)$", RECIPE, re.M)[1])
    command = [sys.executable, "-m", "uvicorn", *command[1:]]
    command[command.index("--host") + 1], command[command.index("--port") + 1] = "127.0.0.1", str(port)
    env = {"PYTHONPATH": str(tmp_path), "COURSE_MODEL": str(tmp_path / "model.npz"), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    reply = ask(f"http://127.0.0.1:{port}/predict", GOOD)
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < deadline
                    time.sleep(0.2)
            assert reply.status == 200 and reply.json()["digit"] == DIGITS[0] and ask(f"http://127.0.0.1:{port}/predict", b"{").status == 400
        finally:
            process.terminate()
            process.wait(20)
    assert not list(tmp_path.rglob("__pycache__"))
