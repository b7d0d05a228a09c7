"""Files that are secrets by their name alone. Knows names; opens nothing."""

import re

DATA = r"(?:\.(?:json|ya?ml|toml|ini|cfg|conf|properties|enc|env|xml|csv|txt))*"
# Reason, and what the last part of the path looks like, in small letters.
NAMES = tuple(
    (reason, re.compile(pattern))
    for reason, pattern in (
        ("environment variables", r"\.env(?:[._-].+)?|\.envrc|\.flaskenv|[^.].*\.env"),
        ("private keys", r".+\.(?:pem|key|p12|pfx|pkcs12|p8|ppk|jks|keystore|bks|kdbx?|agekey|ovpn|mobileprovision)"),
        (
            "private keys",
            r"(?:.+[._-])?id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?(?:[._-].+)?(?<!\.pub)|wallet\.dat|secring\.gpg",
        ),
        (
            "login data",
            r"\.?(?:git-)?credentials"
            + DATA
            + r"|[._]netrc|\.npmrc|\.yarnrc\.yml|\.pypirc|\.pgpass|pgpass\.conf|\.my\.cnf",
        ),
        (
            "login data",
            r"\.htpasswd|\.s3cfg|\.boto|\.dockercfg|\.dockerconfigjson|\.vault-token|\.terraformrc|\.authinfo(?:\.gpg)?",
        ),
        (
            "login data",
            r"(?:client_secrets?|service[_-]?account|application_default_credentials|gcp[_-]?key)[^/]*\.json",
        ),
        ("secrets", r"secrets?" + DATA.replace(")*", ")+") + r"|.+\.secrets?|local\.settings\.json|master\.key"),
        ("cluster access", r"(?:.+[._-])?kubeconfig(?:\..+)?"),
        ("Terraform's state", r".+\.tfstate(?:\..+)?"),
        ("a history of commands", r"\.(?:bash|zsh|sh|psql|mysql|python|node_repl|sqlite)_history"),
    )
)
PLACES = re.compile(
    r"(?:^|/)(?:\.kube/config|\.aws/credentials|\.docker/config\.json|\.azure/[^/]*tokens[^/]*|\.config/gh/hosts\.yml"
    r"|\.ssh/(?!config$|known_hosts$|authorized_keys$)[^/]*(?<!\.pub)|\.gnupg/.*|etc/shadow)$"
)
SHOWN = re.compile(
    r"(?:^|[._-])(?:examples?|samples?|templates?|tmpl|tpl|dist|defaults|schema)(?:[._-]|$)|\.(?:py|d\.ts)$"
)


def withheld(path: str) -> str:
    """Why no line of this file belongs in a prompt: what its name says it holds; "" when nothing speaks against it.

    ``path``: relative or not, with any slashes; it need not exist. Examples (``.env.example``) are shown.
    """
    place = path.replace("\\", "/").lower()
    name = place.rpartition("/")[2]
    if SHOWN.search(name):
        return ""
    if PLACES.search(place):
        return "login data"
    return next((reason for reason, pattern in NAMES if pattern.fullmatch(name)), "")
