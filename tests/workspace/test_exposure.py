"""What looks like a key is kept out of prompts; ordinary code is not touched. Every key here is made at run time, and opens nothing."""

import base64
import json
import random
import re
import string
import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fireside.workspace import secret_rules
from fireside.workspace.exposure import Finding, findings, redact, withheld

LOWER = string.ascii_lowercase + string.digits
MIXED = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
BASE32 = string.ascii_uppercase + "234567"
HEX = "0123456789abcdef"
WORD = MIXED + "_-"
WITHHELD = r"""
.env app/.env.local .env.production prod.env .envrc server.pem tls.key x.p12 x.pfx x.jks .ssh/id_rsa
deploy_id_ed25519 credentials .aws/credentials credentials.json config/credentials.yml.enc .npmrc .netrc
_netrc .pypirc .pgpass .htpasswd .git-credentials .kube/config kubeconfig prod.kubeconfig kubeconfig.yaml
.docker/config.json secrets.yml secrets.toml secret.json terraform.tfstate terraform.tfstate.backup
config/master.key service-account.json client_secret_123.json .bash_history C:\Users\me\.ENV
"""
SHOWN = r"""
.env.example .env.sample .env.template env.example env.py environment.ts secrets.py credentials.py Secret.java
id_rsa.pub keys.py keyboard.c credentials.example.json .ssh/config known_hosts config.json kube/config
README.md docs/secrets.md package.json token.go password_reset.html src/environment/dev.ts
"""
chance = random.Random(7)


def some(alphabet: str, length: int) -> str:
    """Random text with at least one digit, as all but one key in thousands has."""
    while True:
        text = "".join(chance.choices(alphabet, k=length))
        if re.search("[2-9]", text) and text[0] not in "-_" and text[-1] not in "-_":
            return text


def b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def private_key(kind: str = "RSA ", lines: int = 8) -> str:
    body = "\n".join(some(MIXED + "+/", 64) for _ in range(lines))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n{some(MIXED, 22)}==\n-----END {kind}PRIVATE KEY-----"


def jwt() -> str:
    claims = b64(json.dumps({"sub": some(LOWER, 20), "iat": 1516239022}))
    return f"{b64(json.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{claims}.{some(WORD, 43)}"


# Kind, the secret, and the line around it.
KEYS: list[tuple[str, str, str]] = [
    ("aws-access-token", "AKIA" + some(BASE32, 16), 'aws_access_key_id = "{}"'),
    ("aws-access-token", "ASIA" + some(BASE32, 16), "AWS_ACCESS_KEY_ID={}"),
    ("aws secret", some(MIXED + "/+", 40), "aws_secret_access_key = {}"),
    ("github-pat", "gh" + "p_" + some(MIXED, 36), 'headers = {{"Authorization": "token {}"}}'),
    ("github-fine-grained-pat", "github" + "_pat_" + some(MIXED, 82), "git clone https://{}@github.com/a/b"),
    ("github-oauth", "gh" + "o_" + some(MIXED, 36), "x({})"),
    ("github-app-token", "gh" + "s_" + some(MIXED, 36), "GITHUB={}"),
    ("gitlab-pat", "gl" + "pat-" + some(MIXED, 20), "call('{}')"),
    ("gitlab runner", "gl" + "rt-" + some(MIXED, 20), "register {}"),
    ("slack-bot-token", "xo" + f"xb-{some('123456789', 12)}-{some('123456789', 12)}-{some(MIXED, 24)}", "slack = '{}'"),
    (
        "slack-user-token",
        "xo" + "xp-" + "-".join(some(string.digits, 12) for _ in range(3)) + "-" + some(HEX, 32),
        "t='{}'",
    ),
    (
        "slack-webhook-url",
        "https://hooks.slack" + f".com/services/T{some(UPPER, 10)}/B{some(UPPER, 10)}/{some(MIXED, 24)}",
        "u={}",
    ),
    ("stripe-access-token", "sk" + "_live_" + some(MIXED, 24), 'stripe.api_key = "{}"'),
    ("stripe restricted", "rk" + "_live_" + some(MIXED, 24), 'const k = "{}";'),
    ("gcp-api-key", "AI" + "za" + some(WORD, 35), 'key: "{}"'),
    ("google-client-secret", "GOC" + "SPX-" + some(WORD, 28), '"client_secret": "{}"'),
    ("google-access-token", "ya" + "29." + some(WORD, 60), "curl -H 'X-Goog: {}'"),
    ("openai", "sk" + f"-{some(MIXED, 20)}T3Blbk" + f"FJ{some(MIXED, 20)}", "OPENAI_API_KEY={}"),
    ("openai project", "sk" + f"-proj-{some(WORD, 74)}T3Blbk" + f"FJ{some(WORD, 74)}", 'OpenAI(api_key="{}")'),
    ("openrouter", "sk" + "-or-v1-" + some(HEX, 64), 'client("{}")'),
    ("anthropic", "sk" + f"-ant-api03-{some(WORD, 93)}AA", 'Anthropic("{}")'),
    ("groq", "gs" + "k_" + some(MIXED, 52), "GROQ = '{}'"),
    ("hugging face", "hf" + "_" + "".join(chance.choices(string.ascii_letters, k=33)) + "a7Q", "HF_TOKEN={}"),
    ("npm-access-token", "np" + "m_" + some(LOWER, 36), "//registry/:_authToken={}"),
    ("pypi-upload-token", "pyp" + "i-AgEIcHlwaS5vcmc" + some(WORD, 70), "password = {}"),
    ("sendgrid-api-token", "S" + f"G.{some(MIXED, 22)}.{some(MIXED, 43)}", "mail('{}')"),
    ("mailgun", "ke" + "y-" + some(HEX, 32), 'mailgun_key = "{}"'),
    ("twilio-api-key", "S" + "K" + some(HEX, 32), "Client('{}')"),
    ("telegram", some("123456789", 9) + ":AA" + some(WORD, 33), 'bot = Bot("{}")'),
    ("discord bot", f"M{some(MIXED, 23)}.{some(MIXED, 6)}.{some(MIXED, 27)}", "client.login('{}')"),
    ("shopify-access-token", "shp" + "at_" + some(HEX, 32), "s = '{}'"),
    ("digitalocean-pat", "do" + "p_v1_" + some(HEX, 64), "DO={}"),
    ("databricks-api-token", "da" + "pi" + some(HEX, 32), "token: {}"),
    ("docker", "dc" + "kr_pat_" + some(MIXED, 27), "docker login -p {}"),
    ("datadog", some(HEX, 40), 'datadog_app_key = "{}"'),
    (
        "heroku-api-key",
        f"{some(HEX, 8)}-{some(HEX, 4)}-{some(HEX, 4)}-{some(HEX, 4)}-{some(HEX, 12)}",
        "HEROKU_API_KEY={}",
    ),
    ("linear-api-key", "lin" + "_api_" + some(LOWER, 40), "x = '{}'"),
    ("notion", "nt" + f"n_{some('123456789', 11)}{some(MIXED, 35)}", "x = '{}'"),
    ("postman-api-token", "PM" + f"AK-{some(HEX, 24)}-{some(HEX, 34)}", "x = '{}'"),
    ("rubygems-api-token", "ruby" + "gems_" + some(HEX, 48), ":rubygems_api_key: {}"),
    ("age-secret-key", "AGE-SECRET" + "-KEY-1" + some("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58), "{}"),
    ("vault-service-token", "hv" + "s." + some(WORD, 95), 'VAULT_TOKEN="{}"'),
    ("doppler-api-token", "dp" + ".pt." + some(LOWER, 43), "x = '{}'"),
    ("azure-ad-client-secret", f"{some(MIXED, 3)}8" + "Q~" + some(MIXED, 34), 'secret = "{}"'),
    (
        "azure storage",
        some(MIXED + "+/", 86) + "==",
        '"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={};EndpointSuffix=y"',
    ),
    ("supabase", "sb" + "p_" + some(HEX, 40), "x = '{}'"),
    ("jwt", jwt(), "cookie = '{}'"),
    ("bearer", some(MIXED, 40), "curl -H 'Authorization: Bearer {}' http://x"),
    ("bearer in code", some(MIXED, 32), 'headers["Authorization"] = "Bearer {}"'),
    ("basic", base64.b64encode(b"deploy:Tr0ub4dor&3").decode(), "Authorization: Basic {}"),
    ("curl user", some(MIXED, 12), "curl -s -u deploy:{} http://x/y"),
    ("postgres", some(MIXED, 12), "postgres://app:{}@db.local:5432/app"),
    ("mongodb", some(MIXED, 12) + "%40", "uri = 'mongodb+srv://app:{}@cluster0.mongodb.net/?retryWrites=true'"),
    ("redis", "hunter2", "REDIS_URL=redis://:{}@cache:6379/0"),
    ("basic-auth URL", some(MIXED, 10), "git clone https://ci:{}@host/repository"),
    ("jdbc", some(MIXED, 12), 'url = "jdbc:mysql://db/app?user=app&password={}"'),
    ("ado", "Corr3ct-Horse!", '"Server=db;Database=app;User Id=sa;Password={};Encrypt=true"'),
    ("password in Python", "S3cr3t!Pa55w0rd", 'password = "{}"'),
    ("password in JSON", "x7$Kq!m2Vz", '"db_password": "{}",'),
    ("password in JavaScript", "q9Lr#2vTbn", "const dbPassword = '{}';"),
    ("password in Go", "n4Vz!kQ8pw", 'dbPassword := "{}"'),
    ("password in YAML", "z8Rk!2mNq$w", "  POSTGRES_PASSWORD: {}"),
    ("password in a shell", "vT7pLq29XzKd", "export DB_PASSWORD={}"),
    ("token in Python", some(MIXED, 40), 'API_TOKEN = "{}"'),
    ("client secret", some(WORD, 40), 'client_secret: "{}",'),
    ("django", "k#8vw2!q)z_b+3n^0r5t@1y7u&i9o*p4-a6s=d", "SECRET_KEY = '{}'"),
]


@pytest.mark.parametrize(
    ("kind", "secret", "line"), KEYS, ids=[f"{number}-{key[0]}" for number, key in enumerate(KEYS)]
)
def test_a_key_is_taken_out_and_the_rest_of_its_line_stays(kind, secret, line):
    text = f"first line\n{line.format(secret)}\nlast line\n"
    redacted = redact(text)
    assert secret not in redacted.text, kind
    assert secret[-7:] not in redacted.text
    assert [finding.line for finding in redacted.findings] == [2] * len(redacted.findings)
    assert redacted.text.startswith("first line\n")
    assert redacted.text.endswith("\nlast line\n")
    assert redact(redacted.text).text == redacted.text


def test_a_finding_says_where_and_what():
    secret = "AKIA" + some(BASE32, 16)
    text = f"größe\nkey = '{secret}'\n"
    start = text.index(secret)
    assert findings(text) == [Finding(line=2, start=start, end=start + 20, rule="aws-access-token")]
    assert redact(text).text == "größe\nkey = '<redacted: aws-access-token>'\n"


@pytest.mark.parametrize("kind", ["RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA ", "", "PGP "])
def test_a_private_key_goes_as_a_whole_and_its_lines_are_kept_as_empty_ones(kind):
    key = private_key(kind).replace("KEY-----\n", "KEY BLOCK-----\n\n", 1) if kind == "PGP " else private_key(kind)
    text = f"before\n{key}\nafter\n"
    redacted = redact(text)
    assert redacted.text.split() == ["before", "<redacted:", "private-key>", "after"]
    assert redacted.text.count("\n") == text.count("\n")
    assert redacted.findings[0].line == 2


def test_a_private_key_is_found_in_a_string_a_comment_and_a_service_account():
    key = private_key("")
    body = key.split("\n")[3]
    for text in (
        json.dumps({"type": "service_account", "private_key": key + "\n"}),
        "\n".join(f"# {line}" for line in key.split("\n")),
        "KEY = (\n" + "\n".join(f'    "{line}\\n"' for line in key.split("\n")) + "\n)",
        key.replace("\n", "\r\n"),
        "\n".join(f"+{line}" for line in key.split("\n")),
    ):
        assert body not in redact(text).text


def test_a_piece_of_a_private_key_is_found_by_its_first_or_its_last_line():
    lines = private_key(lines=12).split("\n")
    for piece in (lines[:6], lines[6:]):
        text = "\n".join(["x = 1", *piece, "y = 2"])
        redacted = redact(text).text
        assert redacted.split("\n")[0] == "x = 1"
        assert redacted.split("\n")[-1] == "y = 2"
        assert not any(line in redacted for line in piece[1:-1])
        assert redacted.count("\n") == text.count("\n")


def test_code_that_only_names_a_private_key_stays():
    text = 'if "-----BEGIN RSA PRIVATE KEY-----" in text:\n    return f"-----BEGIN PRIVATE KEY-----\\n{body}\\n-----END PRIVATE KEY-----"\n'
    assert redact(text).text == text
    certificate = private_key().replace("RSA PRIVATE KEY", "CERTIFICATE")
    assert redact(certificate).text == certificate


def test_every_value_of_a_kubernetes_secret_goes_and_its_names_stay():
    text = (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  user: YWRtaW4=\n  key: |\n    bGluZSBvbmU\n    bGluZSB0d28\n"
        "  shown: {{ .Values.x }}\n---\nkind: ConfigMap\ndata:\n  colour: green\n"
    )
    redacted = redact(text, "secret.yaml").text
    assert not [value for value in ("YWRtaW4", "bGluZSBvbmU", "bGluZSB0d28") if value in redacted]
    assert "  user: <redacted: kubernetes-secret>\n" in redacted
    assert "{{ .Values.x }}" in redacted
    assert "colour: green" in redacted
    assert redacted.count("\n") == text.count("\n")


@pytest.mark.parametrize(
    "line",
    [
        'aws_access_key_id = "AKIAIOSFODNN7' + 'EXAMPLE"',
        'password = "changeme"',
        'password = "your-password-here-123"',
        'api_key = "xxxxxxxxxxxxxxxxxxxxxxxx"',
        'api_key = "YOUR_API_KEY_12345"',
        "password: ${DB_PASSWORD_V2}",
        "password = os.environ['DB_PASSWORD_2']",
        "token = os.environ.get('API_TOKEN_V1')",
        "password = getpass.getpass1(prompt)",
        "self.token = token_from_header_2.value",
        'postgres://user:pass@localhost/db"',
        "postgres://{user}:{password}@{host}/db",
        "url = f'https://{name}:{secret}@host'",
        "https://$USER:$PASS@host/",
        "scheme://<user>:<password>@host",
        "http://localhost:8080/path/@scope/package",
        'key = "user.profile.image_large_2x"',
        'password_field = "input#password-1"',
        'secret_name = "prod/db/credentials-v2"',
        'id = "123e4567-e89b-12d3-a456-426614174000"',
        'api_key_id: "123e4567-e89b-12d3-a456-426614174000"',
        '"integrity": "sha512-' + "aB3" * 28 + '=="',
        'hash = "sha256:' + "3b" * 32 + '"',
        "Authorization: Bearer <token>",
        'headers["Authorization"] = f"Bearer {token}"',
        "Authorization: Bearer $ACCESS_TOKEN_1",
        'PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]',
        "primary_key=True, max_length=255, token_count1=4096",
        'KEY_ENTER_1 = "keyboard_enter_13"',
        "commit 3f786850e387550fdab836ed7e6dc881de23001b",
        'pwd = "/usr/local/lib/python3.11"',
        'secret = "<redacted: generic-api-key>"',
        "def test_password_reset_token_expires_after_24_hours(client, user2):",
    ],
)
def test_what_is_no_secret_stays(line):
    for path in ("", "settings.py", "config.yml"):
        assert findings(line, path) == []


def test_lock_files_and_their_digests_stay():
    line = f'      "resolved": "x", "token": "{some(HEX, 40)}",\n'
    assert findings(line, "config.json")
    assert findings(line, "web/package-lock.json") == []


def test_the_standard_library_is_left_as_it_is():
    """A quarter of it, spread evenly; the whole of it has no finding outside its tests."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(library.glob("*.py")) + sorted(library.glob("[a-su-z]*/*.py"))
    found = [
        (str(file), finding)
        for file in files[::4]
        if "test" not in str(file.relative_to(library)) and "site-packages" not in file.parts
        for finding in findings(file.read_text(encoding="utf-8", errors="replace"), file.name)
    ]
    assert len(found) <= 2, found


def test_every_rule_of_the_data_compiles_and_says_where_it_came_from():
    rules = secret_rules.rules()
    assert len(rules) > 200
    assert len({rule.id for rule in rules}) == len(rules)
    for rule in rules:
        assert rule.pattern
        assert rule.allowances
        assert rule.keywords == tuple(word.lower() for word in rule.keywords)
    data = secret_rules._data()
    assert data["licence"].startswith("MIT License")
    assert all(data["left_out"].values())


@pytest.mark.parametrize(
    "line",
    [
        "password=" * 11_000,
        "a" * 100_000,
        "a1-" * 33_000,
        "key " * 25_000,
        'token="' * 14_000,
        "-----BEGIN RSA PRIVATE KEY-----" * 3_000,
        "-----END RSA PRIVATE KEY-----" * 3_000,
        "-----" * 20_000,
        "curl -u " * 12_000,
        "curl 1234567890abc " * 5_000,
        "://a:" * 20_000,
        "://a:b1234567@" * 7_000,
        "authorization: bearer " * 4_500,
        "ey" * 50_000,
        "eyJhbGciOiJIUzI1NiIsInR5c." * 4_000,
        "adafruit = 'abc1234567' " * 4_000,
        "kind: Secret\ndata:\n  a: b\n" * 3_700,
        "twitter " + "1234567-" * 12_000,
        " " * 100_000 + "password",
        "password" + " " * 100_000 + "= 'abc12345678'",
        "x1234567" + "." * 100_000,
        ("atlassian" + " " * 20 + "'''") * 3_000 + "abcdefg1234567",
    ],
    ids=lambda line: line[:24].strip(),
)
def test_no_line_of_100_kb_takes_long(line):
    started = time.process_time()
    redact(line)
    assert time.process_time() - started < 2


def test_ordinary_code_is_passed_over_quickly():
    text = "def walk(folder: str) -> list[str]:\n    return [entry.name for entry in os.scandir(folder)]\n" * 20_000
    findings(text[:1000])
    started = time.process_time()
    assert findings(text) == []
    assert len(text) / 1e6 / (time.process_time() - started) > 10


pieces = st.sampled_from(
    [
        *(line.format(secret) for _, secret, line in KEYS),
        *(
            "\n",
            "\r\n",
            " ",
            '"',
            "=",
            "<redacted: password>",
            "token = ",
            "key: '",
            "secret>",
            "é",
            "İ",
            "-----END RSA PRIVATE KEY-----",
        ),
        private_key(lines=2),
    ]
)


@given(st.lists(pieces, max_size=8).map("".join))
def test_redacting_keeps_the_lines_and_is_done_once(text):
    redacted = redact(text)
    assert redacted.text.count("\n") == text.count("\n")
    again = redact(redacted.text)
    assert again.text == redacted.text
    assert again.findings == ()
    ends = [0, *(finding.end for finding in redacted.findings)]
    assert all(finding.start >= end for finding, end in zip(redacted.findings, ends, strict=False))


@pytest.mark.parametrize("path", WITHHELD.split())
def test_a_file_of_secrets_is_withheld_with_a_reason(path):
    assert withheld(path)


@pytest.mark.parametrize("path", SHOWN.split())
def test_other_files_are_shown(path):
    assert withheld(path) == ""
