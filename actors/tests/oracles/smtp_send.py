"""Sends mails by smtplib to the port that is named, and writes a line for each: what the receiver should have read.

Arguments: the port; a file of certificate authorities, or `-`; a user and a password, or none."""

import base64
import json
import smtplib
import ssl
import sys
from email.header import Header
from email.message import EmailMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email import policy

PORT, AUTHORITIES = int(sys.argv[1]), sys.argv[2]
LOGIN = sys.argv[3:5]


def plain(text="Good day.\n", subject="plain", **headers):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ada <ada@x.test>", "bob@x.test", subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def in_charset(charset, text, encoding=None):
    mail = MIMEText(text, "plain", charset)
    mail["From"], mail["To"] = "ada@x.test", "bob@x.test"
    mail["Subject"] = Header(text.strip(), charset).encode()
    return mail


def mails():
    yield "plain", plain(), {}
    yield "unicode", plain("Grüße, Жуковский, 日本語, 🎭\n", "Grüße 🎭 " + "ä" * 100), {}
    yield "dots", plain(".\n..\n.leading\ntrailing.\n\n.\n", "dots"), {}
    yield "long words", plain("x" * 5000 + "\n", "y " * 300), {}
    html = plain("text ü\n", "alternative")
    html.add_alternative("<p>html <b>ü</b></p>\n", subtype="html")
    yield "alternative", html, {}
    only = EmailMessage()
    only["From"], only["To"], only["Subject"] = "ada@x.test", "bob@x.test", "html alone"
    only.set_content("<html><body><p>Hello, <b>Bob</b></p></body></html>\n", subtype="html")
    yield "html alone", only, {"text": "Hello, Bob"}
    full = plain("see the files\n", "attachments")
    full.add_alternative("<p>see the files</p>\n", subtype="html")
    full.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="raw bytes.bin")
    full.add_attachment("a;b\n1;ü\n", subtype="csv", filename="Übersicht – 日本.csv")
    full.add_attachment(plain("inner\n", "inner mail"), filename="inner.eml")
    yield "attachments", full, {}
    yield "latin-1", in_charset("iso-8859-1", "Größe, café\n"), {}
    yield "windows-1252", in_charset("windows-1252", "“quoted” – €5\n"), {}
    yield "koi8-r", in_charset("koi8-r", "Привет, мир\n"), {}
    yield "iso-2022-jp", in_charset("iso-2022-jp", "こんにちは世界\n"), {}
    yield "shift_jis", in_charset("shift_jis", "こんにちは世界\n"), {}
    yield "gb18030", in_charset("gb18030", "你好,世界\n"), {}
    yield "euc-kr", in_charset("euc-kr", "안녕하세요\n"), {}
    yield "utf-16", in_charset("utf-16", "wide ü\n"), {}
    deep = plain("deep\n", "deep")
    for _ in range(8):
        outer = MIMEMultipart("mixed")
        for name in ("From", "To", "Subject"):
            outer[name] = deep[name]
            del deep[name]
        outer.attach(deep)
        deep = outer
    yield "deep", deep, {"text": "deep\n"}
    yield "lists", plain(Cc="Carla <c@x.test>, d@x.test", Reply_To="answers@x.test", X_Tag="one"), {}


def expected(mail, given):
    """What Python's own parser reads of the bytes that were sent."""
    import email

    read = email.message_from_bytes(mail, policy=policy.default)
    text, html, attachments = None, None, []
    pending = [read]
    while pending:
        part = pending.pop(0)
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            pending = list(part.iter_parts()) + pending
            continue
        kind = part.get_content_type()
        attached = part.get_filename() is not None or part.get_content_disposition() == "attachment"
        if kind == "text/plain" and text is None and not attached:
            text = part.get_content().replace("\r\n", "\n")
        elif kind == "text/html" and html is None and not attached:
            html = part.get_content().replace("\r\n", "\n")
        else:
            content = None if kind == "message/rfc822" else base64.b64encode(part.get_payload(decode=True)).decode()
            attachments.append({"name": part.get_filename(), "type": kind, "base64": content})
    addresses = lambda name: [
        {"address": one.addr_spec, **({"name": one.display_name} if one.display_name else {})}
        for field in read.get_all(name, [])
        for one in field.addresses
    ]
    found = {
        "from": addresses("From"),
        "to": addresses("To"),
        "cc": addresses("Cc"),
        "reply-to": addresses("Reply-To"),
        "subject": str(read["Subject"]).strip(),
        "text": text,
        "html": html,
        "attachments": attachments,
    }
    found.update(given)
    return found


def connect():
    client = smtplib.SMTP("127.0.0.1", PORT, timeout=20)
    if AUTHORITIES != "-":
        client.starttls(context=ssl.create_default_context(cafile=AUTHORITIES))
    if LOGIN:
        client.login(*LOGIN)
    return client


def main():
    with connect() as client:
        for name, mail, given in mails():
            raw = mail.as_bytes(policy=policy.SMTP if isinstance(mail, EmailMessage) else policy.compat32.clone(linesep="\r\n"))
            client.sendmail("ada@x.test", ["bob@x.test", "carla@x.test"], raw)
            print(json.dumps({"name": name, "expected": expected(raw, given)}), flush=True)
        eight = plain("Grüße\n", "eight bits", X_Eight="1")
        eight.set_content("Grüße\n", cte="8bit")
        raw = eight.as_bytes(policy=policy.SMTP)
        client.sendmail("ada@x.test", ["bob@x.test", "carla@x.test"], raw, mail_options=["BODY=8BITMIME"])
        print(json.dumps({"name": "8bitmime", "expected": expected(raw, {})}), flush=True)
        wide = plain("Grüße\n", "Grüße", X_Wide="1")
        del wide["To"]
        wide["To"] = "Jürgen <jürgen@müller.test>"
        raw = wide.as_bytes(policy=policy.SMTPUTF8)
        client.sendmail("ada@x.test", ["jürgen@müller.test"], raw, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        # Python's parser reads no header that is UTF-8 as it stands.
        given = {"subject": "Grüße", "to": [{"address": "jürgen@müller.test", "name": "Jürgen"}]}
        print(json.dumps({"name": "smtputf8", "expected": expected(raw, given)}), flush=True)


main()
