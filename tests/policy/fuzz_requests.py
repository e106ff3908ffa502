"""Makes requests: legitimate ones and withdrawals alike, bent in every way that servers forgive."""

import json
import random
from dataclasses import replace
from urllib.parse import quote

from policy.fuzz_case import Case
from policy.fuzz_plain import PLAIN, plain_form, text_of
from policy.fuzz_policies import MARKETS, POLICIES
from policy.fuzz_writing import Pairs, Writing
from privyseald.venues.http_request import FORM, JSON

_SUFFIXES = (
    ".json",
    ".JSON",
    ".xml",
    "/",
    "//",
    "/.",
    "/..",
    ".",
    "%20",
    "%00",
    ";x=1",
    "?",
    "#",
    ".json/",
    "/.json",
    ".php",
    ".csv",
    "%2e",
    "%2F",
    " ",
    "\t",
    ".json.json",
    "/%20",
)
_LETTERS = "\u017f\u212a\u0130\u0131\uff0f\u2215\u00e9\u200b\u202e\U0001f511\ud83d\x00\n\\ %+~"
_NUMBERS = (
    "0.1",
    "2",
    "2.0",
    "2.0000000000000000000000000000001",
    "3",
    "1e1",
    "1e400",
    "-1",
    "1E-400",
    "9223372036854775807",
    "9223372036854775808",
    "1" + "0" * 80,
    "0x10",
    "1_0",
    " 2",
    "+2",
    "\uff12",
    "2\0",
    "NaN",
    "Infinity",
    "",
    "1,5",
    "5e-1",
    ".5",
    "1.",
    "00000002",
    "2e0000",
)
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "post", "HEAD", "")
_TYPES = (
    "",
    JSON,
    FORM,
    "application/json; charset=utf-8",
    "text/plain",
    "application/xml",
    "multipart/form-data",
    "application/JSON",
    "application/x-www-form-urlencoded;charset=utf-8",
)


class Requests:
    """Endless requests of one venue; the same for the same number to begin from."""

    def __init__(self, venue: str, seed: int) -> None:
        self._venue = venue
        self._random = random.Random(f"{venue} {seed}")  # noqa: S311  # it must repeat itself
        self._writing = Writing(self._random)
        self._plain = PLAIN[venue]
        self._market = MARKETS[venue]
        names = (name for plain in self._plain for name, _ in plain.pairs)
        self._names = sorted({*names, "request", "nonce", "nonceWindow", "signature", "timestamp"})
        self._policies = sorted(POLICIES)

    def next(self) -> Case:
        """Return one more."""
        dice = self._random
        # The first of a venue's requests are what a trader sends.
        of = self._plain[: len(self._plain) // 2] if dice.random() < 0.6 else self._plain
        plain = dice.choice(of)
        pairs, path, method, in_body = [*plain.pairs], plain.path, plain.method, plain.in_body
        bends = dice.choices((0, 1, 2, 3, 5), (34, 30, 20, 10, 6))[0]
        strange = {dice.choice(("path", "pairs", "pairs", "text", "place")) for _ in range(bends)}
        if "pairs" in strange:
            for _ in range(dice.randint(1, 3)):
                self._bend_pairs(pairs)
        if "path" in strange:
            path = self._bent_path(path)
        if "place" in strange:
            method, in_body = self._misplaced(method, in_body=in_body)
        content_type = dice.choice(_TYPES) if dice.random() < 0.05 * bends else ""
        policy = dice.choice(self._policies)
        return self._put(policy, method, path, pairs, content_type, in_body, "text" in strange)

    def _misplaced(self, method: str, *, in_body: bool) -> tuple[str, bool]:
        if self._random.random() < 0.5:
            return method, not in_body
        return self._random.choice(_METHODS), in_body

    def _put(
        self,
        policy: str,
        method: str,
        path: str,
        pairs: Pairs,
        content_type: str,
        in_body: bool,
        strange: bool,
    ) -> Case:
        dice, texts = self._random, [(name, text_of(value)) for name, value in pairs]
        is_form = self._venue.startswith("aster") or (
            self._venue == "nebulaex" and dice.random() < 0.3
        )
        case = Case(self._venue, policy, method, path, content_type=content_type)
        if not in_body or method == "GET":
            if strange and dice.random() < 0.7:
                return replace(case, target=f"{path}?{self._writing.form(texts)}")
            return replace(case, query=tuple(texts))
        split: list[tuple[str, str]] = []
        if strange and texts and dice.random() < 0.3:
            split = [texts.pop(dice.randrange(len(texts)))]
        if is_form:
            content_type = content_type or (FORM if self._venue == "nebulaex" else "")
            text = self._writing.form(texts) if strange else plain_form(texts)
            body = text.encode("utf-8", "surrogatepass")
        else:
            body = self._writing.json(pairs, 0) if strange else json.dumps(dict(pairs)).encode()
            if strange and dice.random() < 0.15:
                body = self._writing.spoilt(body)
        return replace(case, query=tuple(split), body=body, content_type=content_type)

    def _bend_pairs(self, pairs: Pairs) -> None:
        dice = self._random
        place = dice.randrange(len(pairs)) if pairs else -1
        match dice.randrange(9) if pairs else 8:
            case 0:  # twice, with another value
                name, value = pairs[place]
                pairs.insert(dice.randint(0, len(pairs)), (name, self._other(value)))
            case 1:
                del pairs[place]
            case 2:
                name, value = pairs[place]
                pairs[place] = (self._bent_name(name), value)
            case 3:  # another spelling beside the right one
                name, value = pairs[place]
                pairs.insert(
                    dice.randint(0, len(pairs)), (self._bent_name(name), self._other(value))
                )
            case 4:
                name, value = pairs[place]
                pairs[place] = (name, self._other(value))
            case 5 | 6:  # what another request takes
                pairs.extend(dice.choice(self._plain).pairs)
                if dice.random() < 0.5:
                    pairs[:] = dict(pairs).items()
            case 7:
                dice.shuffle(pairs)
            case _:
                pairs.append((dice.choice(self._names), self._other("1")))

    def _bent_name(self, name: str) -> str:
        dice = self._random
        return dice.choice(
            (
                name.upper(),
                name.capitalize(),
                name.lower(),
                f"{name}[]",
                f"{name}[0]",
                f" {name}",
                f"{name} ",
                f"{name}\0",
                f"_{name}",
                f"!{name}",
                f"{name}.",
                name.replace("s", "\u017f").replace("k", "\u212a"),
                quote(quote(name, safe=""), safe=""),
                "".join(f"%{ord(letter):02x}" for letter in name),
                dice.choice(self._names),
                "",
            )
        )

    def _other(self, value: object) -> object:
        dice = self._random
        if dice.random() < 0.3:
            return dice.choice(
                (
                    "ETH_USDT",
                    "ETHUSDT",
                    "ethusdt",
                    2,
                    "BTC_USDT\0",
                    "btc_usdt",
                    "BTC_USDT ",
                    "BTC/USDT",
                    self._market,
                    ["ETH_USDT"],
                    {"a": 1},
                    None,
                    True,
                )
            )
        if dice.random() < 0.8:
            return dice.choice(_NUMBERS)
        return dice.choice((value, str(value).lower(), f"{value}&amount=9", "x" * 5_000))

    def _bent_path(self, path: str) -> str:
        dice = self._random
        for _ in range(dice.randint(1, 2)):
            place = dice.randrange(1, len(path)) if len(path) > 1 else 0
            match dice.randrange(9):
                case 0:
                    path += dice.choice(_SUFFIXES)
                case 1:
                    path = path[:place] + path[place:].swapcase()
                case 2:
                    path = path[:place] + f"%{ord(path[place]):02X}" + path[place + 1 :]
                case 3:
                    path = path[:place] + dice.choice(_LETTERS) + path[place:]
                case 4:
                    path = path.replace("/", dice.choice(("//", "/./", "/x/../", "\\", "%2f")), 2)
                case 5:
                    path = dice.choice(self._plain).path
                case 6:
                    path = path.upper() if dice.random() < 0.5 else path.title()
                case 7:
                    path = path.replace("v4", "v1").replace("v1", dice.choice(("v2", "v3", "v1")))
                case _:
                    path = dice.choice(
                        (
                            path[1:],
                            "https://evil.example" + path,
                            "@evil" + path,
                            path + "/" + "a" * 2_100,
                            path + "?a=1",
                            path + "#a",
                        )
                    )
        return path
