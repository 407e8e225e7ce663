"""One Mailgun account: what a request looks like, and what each answer says about the mail.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages
"""

import base64
import email.utils
import http.client
import io
import json
import re
import time
import urllib.parse
import uuid

import wire

CONNECT_TIMEOUT = 5
LONGEST_ANSWER = 64 * 1024
CAPABILITIES = wire.messages.Capabilities(
    max_recipients=1000, max_bytes=25 * 1024 * 1024, inline_attachments=True
)


class Unsupported(Exception):
    """Mailgun can't carry this mail; another provider may."""


class Deadline(io.RawIOBase):
    """Reads from a socket until a point in time, however slowly it trickles."""

    def __init__(self, sock, deadline):
        self.sock, self.deadline = sock, deadline

    def makefile(self, _mode):
        return io.BufferedReader(self)

    def readable(self):
        return True

    def readinto(self, buffer):
        self.sock.settimeout(max(self.deadline - time.monotonic(), 0.001))
        return self.sock.recv_into(buffer)


class Mailgun:
    def __init__(self, base_url, domain, key):
        self.url = urllib.parse.urlsplit(base_url)
        self.domain = domain
        self.authorization = "Basic " + base64.b64encode(f"api:{key}".encode()).decode()

    def form(self, mail):
        """The mail as a form, the same each time: its boundary and the form's body."""
        shown = [box.address for box in (*mail.to, *mail.cc, *mail.bcc)]
        if set(shown) != set(mail.recipients) or not mail.to:
            raise Unsupported("the headers name others than the recipients, or no To")
        sender = getattr(mail, "from")
        mail_id, boundary = uuid.UUID(bytes=mail.id), f"shivneri-{mail.id.hex()}"
        message_id = f"<{mail_id}@{sender.address.rpartition('@')[2]}>"
        fields = [("from", mailbox(sender)), ("subject", mail.subject)]
        for name in ("to", "cc", "bcc"):
            fields += [(name, mailbox(box)) for box in getattr(mail, name)]
        fields += [(name, getattr(mail, name)) for name in ("text", "html") if mail.HasField(name)]
        fields += [("h:Message-Id", message_id), ("h:Date", email.utils.formatdate(mail.date))]
        if mail.reply_to:
            fields.append(("h:Reply-To", ", ".join(map(mailbox, mail.reply_to))))
        fields += [(f"h:{header.name}", header.value) for header in mail.headers]
        fields += [("o:tag", tag) for tag in mail.tags]
        fields += [(f"v:{key}", value) for key, value in sorted(mail.metadata.items())]
        fields.append(("v:shivneri_id", str(mail_id)))
        parts = [(f'name="{quoted(name)}"', value.encode()) for name, value in fields]
        for file in mail.attachments:
            # Mailgun takes the name of an inline file as its Content-ID.
            inline = file.HasField("content_id")
            name = ("inline", file.content_id) if inline else ("attachment", file.filename)
            kind = file.content_type or "application/octet-stream"
            head = f'name="{name[0]}"; filename="{quoted(name[1])}"\r\nContent-Type: {kind}'
            parts.append((head, file.content))
        start = f"--{boundary}\r\nContent-Disposition: form-data; "
        body = [b"%s%s\r\n\r\n%s\r\n" % (start.encode(), h.encode(), text) for h, text in parts]
        form = b"".join(body) + f"--{boundary}--\r\n".encode()
        if len(form) > CAPABILITIES.max_bytes:
            raise Unsupported("too large")
        return boundary, form

    def send(self, boundary, form, deadline):
        """Calls Mailgun once. What came of it, as truly as it can be told."""
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer = self._call("POST", f"/v3/{self.domain}/messages", form, kind, deadline)
        if isinstance(answer, wire.messages.Outcome):
            return answer
        status, retry_after, text = answer
        if status == 200:
            try:
                receipt = wire.messages.Receipt(provider_message_id=json.loads(text)["id"])
                return wire.messages.Outcome(accepted=receipt)
            except (ValueError, KeyError, TypeError):
                pass
        return refusal(status, retry_after, text)

    def probe(self, deadline):
        """Proves key and reachability; the failure, if any."""
        answer = self._call("GET", f"/v3/{self.domain}/tags?limit=1", None, {}, deadline)
        if isinstance(answer, wire.messages.Outcome):
            return answer.failed
        return None if answer[0] == 200 else refusal(*answer).failed

    def _call(self, method, path, body, headers, deadline):
        """Status, Retry-After and text of a complete answer, or the outcome without one."""
        secure = self.url.scheme == "https"
        connection = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connection(self.url.netloc, timeout=CONNECT_TIMEOUT)
        headers |= {"Authorization": self.authorization, "Connection": "close"}
        try:
            try:
                connection.connect()
            except OSError as error:
                return wire.failed("UNAVAILABLE", "LINK", f"not connected: {error}")
            try:
                connection.sock.settimeout(max(deadline - time.monotonic(), 0.001))
                connection.request(method, self.url.path.rstrip("/") + path, body, headers)
            except OSError as error:
                # Its last byte did not leave, so the request is not complete over there.
                return wire.failed("UNAVAILABLE", "PROVIDER", f"request cut short: {error}")
            try:
                reader = Deadline(connection.sock, deadline)
                response = http.client.HTTPResponse(reader, method=method)
                response.begin()
                text = response.read(LONGEST_ANSWER)
                if response.length:
                    raise http.client.IncompleteRead(text, response.length)
            except (OSError, http.client.HTTPException) as error:
                return wire.failed("IN_DOUBT_STRONG", "PROVIDER", f"no answer: {error!r}")
            retry_after = response.getheader("Retry-After", "")
            return response.status, retry_after, text.decode(errors="replace")
        finally:
            connection.close()


def refusal(status, retry_after, text):
    """What an answer other than success says. Doubt where nothing else is certain."""
    answer = wire.messages.Answer(status=status, text=re.sub(r"\S+@\S+", "…", text)[:500])
    more = {"answer": answer}
    if status in (401, 403):
        kind = "FAULT_KEY"
    elif status == 429:
        kind = "THROTTLED"
        if retry_after.isdecimal():
            more["retry_after_ms"] = int(retry_after) * 1000
    elif status == 413:
        kind = "UNSUPPORTED"
    elif 400 <= status < 500:
        kind = "REJECTED_UNEXPLAINED"
    else:
        kind = "IN_DOUBT_WEAK"
    return wire.failed(kind, "PROVIDER", **more)


def mailbox(box):
    return email.utils.formataddr((box.name, box.address), "utf-8")


def quoted(name):
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")
