"""sendsms posted as `text/xml`: Kannel's own little document, whose elements are the parameters.

    <message><submit>
      <from><username>…</username><password>…</password></from>
      <oa><number>1069</number></oa>  <da><number>8613…</number></da>  <ud>text</ud>
      <dcs><coding>2</coding></dcs>  <statusrequest><dlr-mask>3</dlr-mask><dlr-url>…</dlr-url></statusrequest>
    </submit></message>

Source: Kannel user guide, "Using the HTTP interface", and the behaviour of its smsbox 1.4.5, to which
`tests/interop/test_like_kannel.py` holds it. Entities cannot be declared: a short document could stand for gigabytes.
"""

import re
from xml.parsers import expat

from gateway.legacy.forms import unplus
from gateway.legacy.kannel_fields import Sendsms

DEPTH_MAX = 20
NOT_A_NUMBER = -(1 << 31)  # what becomes of one in Kannel: outside of every range
_NUMBER = re.compile(r"\s*-?(\d{1,17}(\.\d*)?|\.\d+)\s*")
_HEX = re.compile(r"([0-9A-Fa-f]{2})+")

_TO = "message/submit/da/number"
_NUMBERS = {
    "message/submit/pid": "pid",
    "message/submit/rpi": "rpi",
    "message/submit/dcs/mclass": "mclass",
    "message/submit/dcs/mwi": "mwi",
    "message/submit/dcs/coding": "coding",
    "message/submit/dcs/compress": "compress",
    "message/submit/dcs/alt-dcs": "alt_dcs",
    "message/submit/statusrequest/dlr-mask": "dlr_mask",
    "message/submit/vp/delay": "validity",
    "message/submit/timing/delay": "deferred",
    "message/submit/priority": "priority",
}
_STRINGS = {
    "message/submit/from/user": "username",
    "message/submit/from/username": "username",
    "message/submit/from/pass": "password",
    "message/submit/from/password": "password",
    "message/submit/from/account": "account",
    "message/submit/from/binfo": "binfo",
    "message/submit/oa/number": "from_",
    "message/submit/smsc": "smsc",
    "message/submit/statusrequest/dlr-url": "dlr_url",
    "message/submit/meta-data": "meta_data",
}
_OCTETS = {"message/submit/ud": "text", "message/submit/udh": "udh"}
_WANTED = frozenset((_TO, *_NUMBERS, *_STRINGS, *_OCTETS))


class _Document:
    """The texts of the wanted elements, by path; of one that comes again the first counts, but for receivers."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.receivers: list[str] = []
        self.encoding = ""
        self._path: list[str] = []
        self._open: list[list[str]] = []  # texts of the wanted elements that we are in

    def read(self, body: bytes) -> None:
        """Raises expat.ExpatError, ValueError."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.XmlDeclHandler = self._declaration
        parser.EntityDeclHandler = self._entity
        parser.Parse(body, True)

    def _begin(self, name: str, _: dict[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > DEPTH_MAX:
            raise ValueError("nested too deeply")
        if "/".join(self._path) in _WANTED:
            self._open.append([])

    def _end(self, _: str) -> None:
        path = "/".join(self._path)
        self._path.pop()
        if path in _WANTED:
            text = "".join(self._open.pop()).strip()
            if path != _TO:
                self.texts.setdefault(path, text)
            elif text:
                self.receivers.append(text)

    def _text(self, text: str) -> None:
        for one in self._open:
            one.append(text)

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        self.encoding = encoding or ""

    def _entity(self, *_: object) -> None:
        raise ValueError("entities may not be declared")


def from_xml(body: bytes) -> Sendsms:
    """The parameters of a document; without any for one that cannot be read, as nobody is known by it then."""
    document = _Document()
    try:
        document.read(body)
    except (expat.ExpatError, ValueError, LookupError):
        return Sendsms()
    asked = Sendsms(charset="UTF-8")
    for path, field in _STRINGS.items():  # of two names for one thing the later one counts
        if path in document.texts:
            setattr(asked, field, document.texts[path].encode())
    for path, field in _NUMBERS.items():
        if path in document.texts:
            setattr(asked, field, _number(document.texts[path]))
    if document.receivers:
        asked.receivers = [one.encode() for one in document.receivers]
        asked.to = b" ".join(asked.receivers)
    asked.udh = _octets(document.texts.get("message/submit/udh", ""))[0]
    asked.text, escaped = _octets(document.texts.get("message/submit/ud", ""))
    if escaped and document.encoding:
        asked.charset = document.encoding
    return asked


def _number(text: str) -> int:
    found = _NUMBER.fullmatch(text)
    return int(float(text)) if found else NOT_A_NUMBER


def _octets(text: str) -> tuple[bytes, bool]:
    """Hex, or URL-encoded text; whether its octets were written as such, in the document's own encoding."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text), True
    octets = text.encode()
    return unplus(octets), b"%" in octets
