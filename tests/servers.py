"""Servers on this machine that stand for those of remote slides: plain, with ranges, and breaking off."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What a server holds and how it behaves.

    Attributes:
        files: bytes by path, `/a.svs`.
        ranges: whether parts can be asked for.
        break_after: bytes after which the connection is cut, one for each of the first answers.
        statuses: statuses of the first answers instead of the file.
        asked: path and range of each request so far.
        tag: ETag of the files.
        tag_name: how the server writes the name of that header.
    """

    files: dict[str, bytes]
    ranges: bool = True
    break_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    tag: str = '"one"'
    tag_name: str = "ETag"
    url: str = ""


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            part = self.headers.get("Range", "")
            site.asked.append((self.path, part))
            content = site.files.get(self.path)
            status = site.statuses.pop(0) if site.statuses else (200 if content is not None else 404)
            if status != 200:
                self.send_error(status)
                return
            start = 0
            if site.ranges and part and self.headers.get("If-Range") == site.tag:
                start, status = int(part.removeprefix("bytes=").rstrip("-")), 206
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header(site.tag_name, site.tag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            content = content[start:]
            self.wfile.write(content[: site.break_after.pop(0)] if site.break_after else content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serve a site on a free port; `site.url` is its address while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving_s3(objects: dict[tuple[str, str], bytes]) -> Iterator[str]:
    """Address of an S3 server that holds objects by bucket and key."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        options = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=url, **options)
        for (bucket, key), content in objects.items():
            if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
                client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key=key, Body=content)
        yield url
    finally:
        server.stop()
