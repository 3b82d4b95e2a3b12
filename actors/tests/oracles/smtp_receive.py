"""A mail server (aiosmtpd) that writes its port, and then a line for each mail as Python's parser reads it. It ends with its
input. What it does with a mail is said by addresses: a recipient `r550@...` is answered with that code, the mail of a sender
`d451@...` too; `close@...` has its connection closed in the middle, and `slow@...` gets no answer.

Argument: a JSON object with `cert`, `key`, `tls` (`starttls`, `implicit` or none) and `users`."""

import asyncio
import base64
import email
import json
import os
import re
import ssl
import sys
import warnings
from email import policy
from email.header import decode_header, make_header
from email.utils import getaddresses

from aiosmtpd.smtp import SMTP, AuthResult

warnings.simplefilter("ignore")
SETTINGS = json.loads(sys.argv[1])
CODE = re.compile(r"^[rd](\d{3})")


def write(value):
    """Writes a line. What Python's parser could not decode goes out as the bytes that came in."""
    sys.stdout.buffer.write(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.buffer.flush()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        code = CODE.match(address)
        if code:
            return f"{code[1]} as you wish"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):
        sender = envelope.mail_from
        if sender.startswith("close"):
            server.transport.abort()
            return "250 never said"
        if sender.startswith("slow"):
            await asyncio.sleep(3600)
        code = CODE.match(sender)
        if code:
            return f"{code[1]} as you wish"
        write(read(session, envelope))
        return "250 taken"


def read(session, envelope):
    mail = email.message_from_bytes(envelope.content, policy=policy.default)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    # The older parser: the newer one keeps the space between two encoded words of a name, which RFC 2047 takes away.
    older = email.message_from_bytes(envelope.content)
    decoded = lambda name: str(make_header(decode_header(name)))
    addresses = lambda name: [[decoded(one), address] for one, address in getaddresses(map(str, older.get_all(name, [])))]
    return {
        "peer": session.peer[1],
        "hello": session.host_name,
        "user": session.auth_data.decode() if session.auth_data else None,
        "tls": session.ssl is not None or SETTINGS.get("tls") == "implicit",
        "mail_from": envelope.mail_from,
        "rcpt_tos": envelope.rcpt_tos,
        "options": envelope.mail_options,
        "defects": [repr(defect) for part in mail.walk() for defect in part.defects],
        "from": addresses("From"),
        "to": addresses("To"),
        "cc": addresses("Cc"),
        "bcc": addresses("Bcc"),
        "reply_to": addresses("Reply-To"),
        "subject": mail["Subject"],
        "message_id": mail["Message-ID"],
        "date": str(mail["Date"].datetime is not None) if mail["Date"] else None,
        "extra": {name: value for name, value in mail.items() if name.startswith("X-")},
        "text": text.get_content().replace("\r\n", "\n") if text else None,
        "html": html.get_content().replace("\r\n", "\n") if html else None,
        "attachments": [
            [part.get_filename(), part.get_content_type(), base64.b64encode(part.get_payload(decode=True)).decode()]
            for part in mail.iter_attachments()
        ],
        "seven_bit": envelope.content.isascii(),
    }


def authenticate(server, session, envelope, mechanism, data):
    user, password = data.login.decode(), data.password.decode()
    success = SETTINGS["users"].get(user) == password
    session.auth_data = user.encode() if success else None
    return AuthResult(success=success, handled=False, auth_data=user.encode() if success else None)


async def main():
    context = None
    if SETTINGS.get("cert"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(SETTINGS["cert"], SETTINGS["key"])
    starttls, users = SETTINGS.get("tls") == "starttls", SETTINGS.get("users")

    def make():
        return SMTP(
            Handler(),
            hostname="oracle",
            enable_SMTPUTF8=True,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            authenticator=authenticate if users else None,
            auth_required=bool(users),
            auth_require_tls=starttls,
            ident="oracle",
        )

    loop = asyncio.get_running_loop()
    implicit = context if SETTINGS.get("tls") == "implicit" else None
    server = await loop.create_server(make, "127.0.0.1", SETTINGS.get("port", 0), ssl=implicit)
    write({"port": server.sockets[0].getsockname()[1]})
    await loop.run_in_executor(None, sys.stdin.read)


try:
    asyncio.run(asyncio.wait_for(main(), 600))
finally:
    os._exit(0)
