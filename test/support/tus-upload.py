"""Uploads a file with nothing but the standard library, once cut short, and joins it with itself.

usage: tus-upload.py <endpoint> <file>; prints what came back as JSON.
"""

import hashlib
import http.client
import json
import sys
from urllib.parse import urljoin, urlsplit

TUS = {"Tus-Resumable": "1.0.0"}
OFFSET_TYPE = "application/offset+octet-stream"


def request(method, url, headers=None, body=None, chunked=False):
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    try:
        connection.request(method, address.path, body, {**TUS, **(headers or {})}, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def create(endpoint, headers):
    status, answered, body = request("POST", endpoint, headers)
    assert status == 201, (status, body)
    return urljoin(endpoint, answered["Location"])


def offset_of(upload):
    status, headers, _ = request("HEAD", upload)
    assert status == 200, status
    return int(headers["Upload-Offset"])


def send_half(upload, content):
    """Announces all of it, sends half, and hangs up."""
    address = urlsplit(upload)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    connection.putrequest("PATCH", address.path)
    headers = {**TUS, "Upload-Offset": "0", "Content-Type": OFFSET_TYPE, "Content-Length": str(len(content))}
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(content[: len(content) // 2])
    connection.close()


def patch(upload, offset, body, chunked=False):
    headers = {"Upload-Offset": str(offset), "Content-Type": OFFSET_TYPE}
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
    status, answered, text = request("PATCH", upload, headers, body, chunked)
    return status, answered["Upload-Offset"], text


def resume(upload, content):
    """Sends some more, in chunks. What was sent before the hang-up may still come in after the offset was asked for."""
    while True:
        offset = offset_of(upload)
        middle = offset + 300_000
        pieces = (content[at : min(at + 50_000, middle)] for at in range(offset, middle, 50_000))
        status, reached, text = patch(upload, offset, pieces, chunked=True)
        if status == 409:
            continue
        assert (status, reached) == (204, str(middle)), (status, reached, text)
        return middle, offset


def main(endpoint, path):
    with open(path, "rb") as file:
        content = file.read()
    upload = create(endpoint, {"Upload-Length": str(len(content)), "Upload-Concat": "partial"})
    send_half(upload, content)
    while offset_of(upload) == 0:  # what was sent before the hang-up is still on its way
        pass
    middle, offset = resume(upload, content)
    resumed = 0 < offset <= len(content) // 2
    status, reached, text = patch(upload, middle, content[middle:])
    assert (status, reached) == (204, str(len(content))), (status, reached, text)
    final = create(endpoint, {"Upload-Concat": f"final;{upload} {upload}"})

    def digest(url, headers=None):
        return hashlib.sha256(request("GET", url, headers)[2]).hexdigest()

    ranged = digest(final, {"Range": "bytes=100-199"})
    print(json.dumps({"resumed": resumed, "upload": digest(upload), "final": digest(final), "range": ranged}))


main(*sys.argv[1:])
