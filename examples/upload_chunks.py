#!/usr/bin/env python3
"""Uploads a file in chunks, several at a time. Started again after it was stopped, in whatever way, it goes on.

    python3 upload_chunks.py [--url http://127.0.0.1:1080/upload/] [--token TOKEN] [--chunk-size 8MiB]
                             [--parallel 4] [--algorithm md5] FILE

Needs Python 3.8 or newer and nothing else. FILE.upload remembers the upload until it is finished; a file that was
changed meanwhile is uploaded anew. Prints the id of the upload; progress goes to stderr.
Exit status: 0 uploaded, 1 failed, 2 wrong usage, 130 interrupted. After 1 and 130 the same command goes on.
"""

import argparse
import hashlib
import http.client
import json
import os
import random
import re
import sys
import threading
import time
import urllib.parse
import uuid

ALGORITHMS = "md5 sha1 sha224 sha256 sha384 sha512 sha3_224 sha3_256 sha3_384 sha3_512 blake2b blake2s".split()
BLOCK = 256 * 1024
BOUNDARY = uuid.uuid4().hex
# Between two tries, in seconds; together about two minutes, so that a server that restarts is waited for.
WAITS = [0.25, 0.5, 1, 2, 4, 8, 15, 30, 30, 30]
# Worth another try, besides 5xx: too slow, held by another request, too many requests.
PASSING = [408, 423, 429]
# Longest silence of a connection, in seconds. A server that is still hashing is asked again and goes on with it.
SILENCE = 120


class Failure(Exception):
    """Trying again does not help."""


class Gone(Failure):
    """The server does not know the upload, or not any more."""


class Server:
    """Requests over one connection, repeated as long as they fail in passing. Each thread has one of its own."""

    def __init__(self, url, token):
        self.url = urllib.parse.urlsplit(url)
        self.headers = {"Authorization": f"Token {token}"} if token else {}
        self.connection = None

    def start(self, filename, size):
        # The size as text: the number 0 would count as no size.
        return accepted(*self.ask("POST", "", fields(filename=filename, total_size=str(size))))["upload_id"]

    def detail(self, upload):
        return accepted(*self.ask("GET", f"{upload}/"))

    def put(self, upload, path, start, stop, size):
        """False: the range does not fit what is there. The list of chunks says what is still missing."""
        status, answer = self.ask("PUT", f"{upload}/", chunk(path, start, stop, size))
        if status == 409:
            return False
        accepted(status, answer)
        return True

    def finalize(self, upload, checksum, algorithm):
        status, answer = self.ask("POST", f"{upload}/", fields(checksum=checksum, checksum_algo=algorithm))
        if status == 400 and words_of(answer) == "Checksum mismatch":
            return False
        accepted(status, answer)
        return True

    def ask(self, method, address, make_body=None):
        for wait in [*WAITS, None]:
            try:
                status, answer = self.ask_once(method, address, make_body)
                if status < 500 and status not in PASSING:
                    return status, answer
                trouble = f"the server says {status}: {words_of(answer)}"
            except (OSError, http.client.HTTPException) as error:
                self.close()
                trouble = f"no answer from {self.url.netloc}: {error or type(error).__name__}"
            if wait is None:
                raise Failure(trouble)
            say(f"{trouble}; trying again in {wait} s")
            time.sleep(wait * random.uniform(0.8, 1.2))

    def ask_once(self, method, address, make_body):
        if self.connection is None:
            secure = self.url.scheme == "https"
            connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            self.connection = connect(self.url.netloc, timeout=SILENCE)
        headers, body = make_body() if make_body else ({}, None)
        cut = False
        try:
            self.connection.request(method, self.url.path + address, body, {**self.headers, **headers})
        except ConnectionError:
            if self.connection.sock is None:
                raise
            # Who refuses a chunk may hang up before all of it was sent: the answer is there nevertheless.
            cut = True
        response = self.connection.getresponse()
        text = response.read()
        if cut:
            self.close()
        is_json = response.getheader("Content-Type", "").startswith("application/json")
        return response.status, json.loads(text) if is_json else {"detail": text[:200].decode(errors="replace")}

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def accepted(status, answer):
    if status < 400:
        return answer
    gone = status in (404, 410)
    raise (Gone if gone else Failure)(f"the server refuses with {status}: {words_of(answer)}")


def words_of(answer):
    return answer.get("message") or answer.get("error") or answer.get("detail") or ""


def fields(**values):
    return lambda: ({"Content-Type": "application/json"}, json.dumps(values).encode())


def chunk(path, start, stop, size):
    """A form with bytes [start, stop) of the file, which are read while they are sent."""
    part = 'Content-Disposition: form-data; name="file"; filename="chunk"\r\nContent-Type: application/octet-stream'
    head = f"--{BOUNDARY}\r\n{part}\r\n\r\n".encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(head) + stop - start + len(tail)),
        "Content-Range": f"bytes {start}-{stop - 1}/{size}",
    }

    def body():
        yield head
        yield from blocks_of(path, start, stop)
        yield tail

    return lambda: (headers, body())


def blocks_of(path, start, stop):
    try:
        with open(path, "rb") as file:
            file.seek(start)
            while start < stop:
                block = file.read(min(BLOCK, stop - start))
                if not block:
                    raise Failure(f"{path} became shorter")
                start += len(block)
                yield block
    except OSError as error:
        # Not to be taken for trouble of the network, which is tried again.
        raise Failure(f"cannot read {path}: {error.strerror}") from error


def missing_pieces(chunks, size, most):
    """The gaps between chunks of whatever sizes, as ranges [start, stop) of at most so many bytes."""
    pieces, at = [], 0
    ranges = sorted((chunk["start"], chunk["end"] + 1) for chunk in chunks)
    for start, stop in [*ranges, (size, size)]:
        pieces += [(piece, min(piece + most, start)) for piece in range(at, start, most)]
        at = stop
    return pieces


class Memory:
    """FILE.upload: to which upload this very file goes."""

    def __init__(self, path, url):
        stat = os.stat(path)
        self.path = path + ".upload"
        self.file = {"url": url, "size": stat.st_size, "mtime": str(stat.st_mtime_ns)}

    def recall(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                known = json.load(file)
            return known["upload_id"] if known == {**self.file, "upload_id": known["upload_id"]} else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def keep(self, upload):
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump({**self.file, "upload_id": upload}, file)
        os.replace(self.path + ".new", self.path)

    def forget(self):
        if os.path.exists(self.path):
            os.remove(self.path)


class Background(threading.Thread):
    """Work that does not keep the process alive. `result` waits for it, and raises what it raised."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.value, self.error = work, None, None
        self.start()

    def run(self):
        try:
            self.value = self.work()
        except Exception as error:
            self.error = error

    def result(self):
        self.join()
        if self.error:
            raise self.error
        return self.value


class Upload:
    def __init__(self, options):
        self.options = options
        self.path = options.file
        self.memory = Memory(self.path, options.url)
        self.size = self.memory.file["size"]
        self.server = Server(options.url, options.token)
        self.checksum = Background(self.hash)
        self.lock = threading.Lock()
        self.stored = 0

    def run(self):
        upload = self.memory.recall()
        if upload:
            say(f"going on with {upload}")
            try:
                return self.complete(upload)
            except Gone as gone:
                say(f"{gone} That upload is gone; starting anew")
        upload = self.server.start(os.path.basename(self.path), self.size)
        self.memory.keep(upload)
        return self.complete(upload)

    def complete(self, upload):
        self.send_missing(upload)
        checksum = self.checksum.result()
        if Memory(self.path, self.options.url).file != self.memory.file:
            raise Failure(f"{self.path} was changed while it was uploaded")
        # Hashing may have taken longer than a server keeps a quiet connection.
        self.server.close()
        fits = self.server.finalize(upload, checksum, self.options.algorithm)
        self.memory.forget()
        if not fits:
            raise Failure("the server has other bytes than the file (Checksum mismatch); the next run starts anew")
        return upload

    def send_missing(self, upload):
        for wait in [*WAITS, None]:
            detail = self.server.detail(upload)
            if detail["status"] == "expired":
                raise Gone("Upload expired.")
            pieces = missing_pieces(detail["chunks"], self.size, self.options.chunk_size)
            if detail["status"] == "complete" or not pieces:
                return
            stored = self.stored = self.size - sum(stop - start for start, stop in pieces)
            self.send(upload, pieces)
            # Another process may have been sending the same file, in other pieces, and may be gone.
            if self.stored == stored and wait:
                time.sleep(wait)
        raise Failure("another process keeps sending other chunks of this upload")

    def send(self, upload, pieces):
        left = iter(pieces)

        def send_next(server):
            with self.lock:
                start, stop = next(left, (None, None))
            if start is not None and server.put(upload, self.path, start, stop, self.size):
                self.tell(stop - start)
            return start is not None

        def send_some():
            server = Server(self.options.url, self.options.token)
            try:
                while send_next(server):
                    pass
            finally:
                server.close()

        threads = [Background(send_some) for _ in range(min(self.options.parallel, len(pieces)))]
        for thread in threads:
            thread.join()
        for thread in threads:
            thread.result()

    def tell(self, stored):
        with self.lock:
            before = 100 * self.stored // self.size
            self.stored += stored
            percent = 100 * self.stored // self.size
            if percent > before:
                say(f"{percent:3d} %  {self.stored} of {self.size} bytes")

    def hash(self):
        digest = hashlib.new(self.options.algorithm)
        for block in blocks_of(self.path, 0, self.size):
            digest.update(block)
        return digest.hexdigest()


def size_of(text):
    match = re.fullmatch(r"([1-9][0-9]*)(|KiB|MiB|GiB)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 8MiB")
    return int(match[1]) * 1024 ** ["", "KiB", "MiB", "GiB"].index(match[2])


def count_of(text):
    if not re.fullmatch("[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def url_of(text):
    if not re.match("https?://.", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as http://127.0.0.1:1080/upload/")
    return text.rstrip("/") + "/"


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", type=url_of, default="http://127.0.0.1:1080/upload/")
    parser.add_argument("--token")
    parser.add_argument("--chunk-size", type=size_of, default="8MiB")
    parser.add_argument("--parallel", type=count_of, default=4)
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="md5")
    parser.add_argument("file", metavar="FILE")
    try:
        print(Upload(parser.parse_args()).run())
    except KeyboardInterrupt:
        say("interrupted; the same command goes on")
        return 130
    except OSError as error:
        say(f"failed: {error.filename}: {error.strerror}")
        return 1
    except Failure as error:
        say(f"failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
