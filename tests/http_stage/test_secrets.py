"""What comes from the environment is in no output, however a run fails."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from servers.running import Server

from streamproc.secrets import redact

pytestmark = pytest.mark.forked
SECRET = 'sécr3t/k=y+with "odd" \\ chars{x}'
PLAIN = "pl4in-s3cret-0123456789-abcdefghijklmnop"
IN_URLS = "/?&=%:;,@!$'()*+~[]-._"  # what a URL that is written out keeps as it is

# Every place where a secret can stand, and every way in which a call can fail.
CALLER = """method = "POST", auth = { bearer = "${API_KEY}" },
    headers = { X-Key = "${API_KEY}", Cookie = "k=${API_KEY}; n={n}" },
    query = { key = "${API_KEY}", both = "{n}-${API_KEY}" }, %s"""
BODIES = [
    'body = "<key>${API_KEY}</key>"',
    'form = { key = "${API_KEY}" }',
    'json = { key = "${API_KEY}", n = "{n}" }',
]
WAYS = [
    "status/400", "status/401?body=${API_KEY}", "status/500", "echo/nothing", "not-json", "html",
    "empty", "deep", "reset/before", "close/body", "length/garbage", "bad-status-line", "never",
    "gzip/broken", "redirect/to?url=http://no-such-host.invalid/?k=${API_KEY}", "redirect/loop",
    "429?after=1000&times=99", "large?bytes=11000000", "bad-header", "404/${API_KEY}",
]  # fmt: skip


def spellings(secret: str) -> set[bytes]:
    """How a secret can be written down; a part of it is bad enough."""
    raw = secret.encode()
    me = b"me:" + raw
    texts = {
        secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1],
        json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1],
        raw.decode("latin-1"), json.dumps(raw.decode("latin-1"))[1:-1],
        b64encode(raw).decode(), b64encode(me).decode(), urlsafe_b64encode(raw).decode(),
        b64encode(b"Bearer " + raw).decode(), repr(raw)[2:-1],
    }  # fmt: skip
    return {text.encode() for text in texts}


def leaks(secret: str, *outputs: bytes) -> list[bytes]:
    """The spellings of it that are in an output, or in a string of a JSON line of it."""
    shown = [text for output in outputs for text in (output, strings(output))]
    return [spelling for spelling in spellings(secret) for text in shown if spelling in text]


def strings(output: bytes) -> bytes:
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list | dict):
            for each in value.values() if isinstance(value, dict) else value:
                look(each)

    for line in output.splitlines():
        if line.startswith(b"{"):
            look(json.loads(line))
    return "\n".join(found).encode()


def failing() -> str:
    """A pipeline in which each source fails in its own way."""
    sources = []
    for k, way in enumerate(WAYS):
        http = f'url = "SERVER/{way}", ' + CALLER % BODIES[k % 3]
        if "redirect" in way:
            http += ", redirects = true"
        more = 'timeout = "0.3s", deadline = "0.5s", retry = { base = "1ms", attempts = 2 }'
        more += ", breaker = { max_wait = '1h' }"
        sources.append(f'{{ name = "s{k}", {more}, http = {{ {http}, missing = "fail" }} }}')
    sources.append(
        f'{{ name = "basic", http = {{ url = "SERVER/status/403", ok = [1],'
        f' auth = {{ basic = "me:${{API_KEY}}" }} }}, {more} }}'
    )
    return ("all = [" + ", ".join(sources) + "]").replace("\n   ", "")


@pytest.mark.parametrize(
    ("level", "form"),
    [
        ("debug", "text"),
        ("debug", "json"),
        ("info", "text"),
        ("warning", "json"),
        ("error", "text"),
    ],
)
def test_no_failure_shows_a_secret(enrich: Any, level: str, form: str) -> None:
    secret = SECRET if form == "text" else PLAIN
    args = ("--log-level", level, "--log-format", form)
    outcome = enrich(failing(), args=args, API_KEY=secret)
    assert (outcome.code, len(outcome.errors[0]["sources"])) == (3, len(WAYS) + 1)
    assert leaks(secret, outcome.stdout, outcome.stderr) == []


@pytest.mark.parametrize("on_error", ["dead-letter", "stop"])
def test_no_dead_letter_shows_a_secret(enrich: Any, folder: Path, on_error: str) -> None:
    args = ("--on-error", on_error, "--dead-letter", "dead", "--log-level", "debug")
    outcome = enrich(failing(), args=args, API_KEY=SECRET)
    assert outcome.code in (3, 4)
    dead = folder / "dead"
    letters = dead.read_bytes() if dead.exists() else b""
    assert (b'"raw"' in letters) == (on_error == "dead-letter")
    assert leaks(SECRET, outcome.stdout, outcome.stderr, letters) == []


@pytest.mark.parametrize("workers", [(), ("-w", "2")])
def test_the_server_got_the_secret(enrich: Any, workers: tuple[str, ...]) -> None:
    """So that the other tests prove something; workers know it, too."""
    http = 'url = "SERVER/echo", ' + CALLER % BODIES[2]
    outcome = enrich(f"http = {{ {http} }}".replace("\n   ", ""), args=workers, API_KEY=SECRET)
    echo = outcome.results[0]
    headers = {name: value.encode("latin-1").decode() for name, value in echo["headers"]}
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert headers["X-Key"] == SECRET
    assert json.loads(echo["body"]) == {"key": SECRET, "n": 1}
    assert echo["query"] == f"key={quote(SECRET, safe='')}&both=1-{quote(SECRET, safe='')}"


@pytest.mark.parametrize("secret", [SECRET, PLAIN])
def test_what_a_service_echoes_is_hidden_in_messages(enrich: Any, secret: str) -> None:
    """A service that says which key was wrong, as text, and as JSON."""
    text = """all = [
        { name = "a", http = { url = "SERVER/status/401?body=wrong%20key%20${API_KEY}" } },
        { name = "b", http = { url = "SERVER/status/200?body=wrong%20key%20${API_KEY}" } },
        { name = "c", http = { url = "SERVER/echo", body = "${API_KEY}", ok = [1] } },
        { name = "d", http = { url = "SERVER/echo", auth = { bearer = "${API_KEY}" }, ok = [1] } },
        { name = "e", http = { url = "SERVER/echo", auth = { basic = "me:${API_KEY}" }, ok = [1] } }
        ]"""
    outcome = enrich(text, API_KEY=secret)
    assert len(outcome.errors[0]["sources"]) == 5
    assert leaks(secret, outcome.stdout, outcome.stderr) == []


def test_a_secret_in_a_url_is_hidden(enrich: Any) -> None:
    """What stands in a URL keeps `/` and `=`; other characters of it are percent-encoded."""
    outcome = enrich('http.url = "SERVER/status/400?key=${API_KEY}"', API_KEY=SECRET)
    assert quote(SECRET, safe=IN_URLS) not in outcome.errors[0]["message"]


def test_a_secret_that_a_message_cuts_in_two_is_hidden(enrich: Any) -> None:
    """Only 200 bytes of a bad answer are shown: they may end in the middle of the secret."""
    text = f'http.url = "SERVER/status/400?body={"x" * 180}${{API_KEY}}"'
    outcome = enrich(text, API_KEY=PLAIN)
    message = outcome.errors[0]["message"]
    assert PLAIN[:12] not in message.partition("Bad Request")[2]


@pytest.mark.parametrize("secret", ["abcd/efgh+ijkl==", SECRET])
def test_a_secret_that_a_service_echoes_as_json_is_hidden(enrich: Any, secret: str) -> None:
    """As PHP and others write it: `/` is escaped, too."""
    body = json.dumps({"key": secret}).replace("/", "\\/")
    text = f"http = {{ url = 'SERVER/status/400?body={quote(body, safe='')}', "
    outcome = enrich(text + 'auth = { bearer = "${API_KEY}" } }', API_KEY=secret)
    echoed = outcome.errors[0]["message"].partition("Bad Request: ")[2]
    assert echoed
    assert json.dumps(secret)[1:-1].replace("/", "\\/") not in echoed


def test_two_secrets_of_which_one_begins_the_other(enrich: Any) -> None:
    text = 'http.url = "SERVER/status/400?body=${LONG}+${SHORT}"'
    outcome = enrich(text, SHORT=PLAIN[:12], LONG=PLAIN)
    assert PLAIN[:12].encode() not in outcome.stdout
    assert PLAIN[12:].encode() not in outcome.stdout


# settings that are no good because of what a variable holds

BAD = [
    'http.url = "${API_KEY}"',
    'http.url = "http://${API_KEY}/x"',
    'http = { url = "SERVER/ok", select = "[[${API_KEY}" }',
    'http.url = "SERVER/ok"\nwhen = "[[${API_KEY}"',
    'http.url = "SERVER/ok"\nretry.when = "[[${API_KEY}"',
    'http = { url = "SERVER/ok", tls = { ca = "${API_KEY}" } }',
    'http.url = "SERVER/ok"\ncache = { path = "no/such/${API_KEY}" }',
    'python = "no_such_module_${API_KEY}:f"',
    'python = "stages.py:${API_KEY}"',
]
# these are found together
TYPES = [
    'http.url = "SERVER/{${API_KEY}"',
    'http.url = "SERVER/ok"\ntimeout = "${API_KEY}"',
    'http.url = "SERVER/ok"\nrate = "${API_KEY}"\ncache = { ttl = "${API_KEY}" }',
    'http = { url = "SERVER/ok", method = "${API_KEY}", client = "${API_KEY}" }',
    'http = { url = "SERVER/ok", headers = { X = "${API_KEY}{" } }',
    'builtin = "${API_KEY}"',
    'http = { url = "SERVER/ok", auth = "${API_KEY}" }',
    'http = { url = "SERVER/ok", auth = { bearer = "${API_KEY}", basic = "${API_KEY}" } }',
    'http.url = "SERVER/ok"\ninto = "_error.${API_KEY}"',
    'http.url = "SERVER/ok"\ninto = "a..${API_KEY}"',
    'http.url = "SERVER/ok"\nfallback = "${API_KEY}"',
    'http.url = "SERVER/ok"\nretry = "${API_KEY}"\nbatch = "${API_KEY}"\nbreaker = "${API_KEY}"',
]
FILES = ['output = "no/such/${API_KEY}"', 'dead_letter = "no/such/${API_KEY}"']


@pytest.mark.parametrize("text", BAD)
def test_no_bad_setting_shows_a_secret(run: Any, pipeline: Any, text: str) -> None:
    done = run("check", "-c", pipeline(text), env={"API_KEY": PLAIN})
    assert done.returncode in (0, 78)
    assert leaks(PLAIN, done.stdout, done.stderr) == []
    assert b"Traceback" not in done.stderr


def test_no_setting_of_a_wrong_type_shows_a_secret(run: Any, pipeline: Any) -> None:
    stages = [f'[[stage]]\nname = "x{k}"\n{text}\n' for k, text in enumerate(TYPES)]
    done = run("check", "-c", pipeline("".join(stages)), env={"API_KEY": PLAIN})
    assert done.returncode == 78
    missed = [k for k in range(len(TYPES)) if b"stage[%d]" % k not in done.stderr]
    assert missed == []
    assert leaks(PLAIN, done.stdout, done.stderr) == []


@pytest.mark.parametrize("text", [*FILES, BAD[1], BAD[5], BAD[6]])
def test_no_run_that_cannot_start_shows_a_secret(run: Any, pipeline: Any, text: str) -> None:
    if text in FILES:
        text += '\n[[stage]]\nname = "x"\nhttp.url = "SERVER/ok"'
    done = run(
        "-c", pipeline(text), "--log-level", "debug", "--timeout", "1", "--retries", "0",
        stdin=b'{"n":1}\n', env={"API_KEY": PLAIN},
    )  # fmt: skip
    assert done.returncode != 0
    assert leaks(PLAIN, done.stdout, done.stderr) == []
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("online", [(), ("--online",)])
def test_check_shows_settings_as_they_are_written(
    run: Any, pipeline: Any, server: Server, online: tuple[str, ...]
) -> None:
    http = 'url = "SERVER/${API_KEY}/ok", ' + CALLER % BODIES[2]
    text = f"""http = {{ {http} }}
        fallback = [{{ http = {{ url = "SERVER/x?k=${{API_KEY}}" }} }}, {{ value = "${{API_KEY}}" }}
        ]
        cache = {{ path = "${{API_KEY}}" }}""".replace("\n    h", " h").replace("\n    q", " q")
    done = run("check", "-c", pipeline(text), *online, env={"API_KEY": SECRET})
    assert done.returncode == 0
    assert done.stdout.count(b"${API_KEY}") == 10
    assert leaks(SECRET, done.stdout, done.stderr) == []


def test_set_may_name_a_variable(run: Any, pipeline: Any) -> None:
    """A value on the command line is expanded as one in the file is."""
    done = run(
        "check", "-c", pipeline('http.url = "SERVER/ok"'), "--set", "x.http.auth.bearer=${API_KEY}",
        env={"API_KEY": SECRET},
    )  # fmt: skip
    assert done.returncode == 0
    assert b"${API_KEY}" in done.stdout
    assert leaks(SECRET, done.stdout, done.stderr) == []


def test_the_summary_and_a_target_that_is_down(enrich: Any) -> None:
    """The message that ends a run names target and last error."""
    text = """http = { url = "SERVER/status/500?body=${API_KEY}", auth = { bearer = "${API_KEY}" } }
        retry = false\nbreaker = { consecutive = 1, max_wait = "50ms" }"""
    outcome = enrich(text, {"n": 1}, {"n": 2}, args=("-j", "1", "--summary", "json"), API_KEY=PLAIN)
    assert outcome.code == 69
    assert leaks(PLAIN, outcome.stdout, outcome.stderr) == []


def test_a_cache_file_has_no_secret_in_it(enrich: Any, folder: Path) -> None:
    http = 'url = "SERVER/ok", ' + CALLER % BODIES[0]
    text = f'http = {{ {http} }}\ncache.path = "answers.db"'.replace("\n   ", "", 2)
    assert enrich(text, API_KEY=PLAIN).code == 0
    files = [path.read_bytes() for path in folder.glob("answers.db*")]
    assert files
    assert leaks(PLAIN, *files) == []


@pytest.mark.parametrize(
    "http",
    [
        'url = "SERVER/status/400?body=LITERAL&x=1", auth = { bearer = "LITERAL" }',
        'url = "SERVER/status/400?api_key=LITERAL&n={n}"',
        'url = "SERVER/status/500?n={n}", query = { access_token = "LITERAL" }',
        'url = "SERVER/redirect/to?url=http://me:LITERAL@h/&n={n}", redirects = true',
    ],
)
def test_what_is_written_out_is_not_shown_either(enrich: Any, http: str) -> None:
    """A secret may stand in the pipeline file itself."""
    text = f"http = {{ {http} }}\nretry = false".replace("LITERAL", PLAIN)
    outcome = enrich(text, args=("--log-level", "debug"))
    assert outcome.errors[0]["kind"] in ("http_status", "bad_answer")
    assert leaks(PLAIN, outcome.stdout, outcome.stderr) == []


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("//me:pa@ss@else.where/x", "//***@else.where/x"),
        ("http://me:pa@ss@else.where", "http://***@else.where"),
        ("//else.where/me@home", "//else.where/me@home"),
        ("write to //me@home", "write to //me@home"),
    ],
)
def test_user_and_password_of_an_address_are_hidden(place: str, shown: str) -> None:
    """Also where it has no scheme, as a redirect may say it."""
    assert redact(place) == shown
