"""The API against its own document: independent linters read it and the AsyncAPI documents, Schemathesis tries it on a real server.

An answer of 500 or above is a finding, 503 too: it is documented, but nothing is busy or away here. Every step of signing in and out is
checked against the document, too, because nothing that makes up requests finds a code. `scripts/contract` runs this.
"""

import base64
import collections
import hmac
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import schemathesis

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "target/contract"
DOCUMENT = ROOT / "docs/openapi.json"
SECONDS = int(os.environ.get("LYNK_CONTRACT_SECONDS", "120"))
SEED = os.environ.get("LYNK_CONTRACT_SEED", "4")

# They end sessions: each gets a run and a session of its own.
ENDING = ("logout", "end_session", "end_other_sessions")

SETTINGS = (
    "sms.console=file",
    # Nothing is hidden behind a limit.
    "codes.resend=1s",
    "codes.per_address_hour=0",
    "codes.per_prefix_hour=0",
    "codes.attempts_per_address_minute=0",
    "codes.messages_hour=90000",
    "codes.messages_day=2000000",
    "limits.commands_per_connection_per_second=0",
    "limits.commands_per_account_per_second=0",
    "limits.messages_per_room_per_second=0",
    "limits.connects_per_ip_per_second=0",
)


def binary() -> pathlib.Path:
    names = (os.environ.get("LYNK"), "target/release/lynk", "target/debug/lynk")
    for name in filter(None, names):
        if (ROOT / name).exists():
            return ROOT / name
    sys.exit("contract: no server to test: build one (cargo build --bin lynk), or name it in the environment variable LYNK")


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Server:
    """A `lynk serve` of its own, on a data directory of its own."""

    def __enter__(self):
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="lynk-contract-"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(OUT / "serve.log", "w")
        arguments = [binary(), "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{free_port()}"]
        for setting in SETTINGS:
            arguments += ["--set", setting]
        self.child = subprocess.Popen(arguments, stdout=self.log, stderr=subprocess.STDOUT)
        for _ in range(1200):
            if self.child.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.url}/openapi.json", timeout=5).close()
                return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        sys.exit(f"contract: the server does not answer:\n{(OUT / 'serve.log').read_text()[-4000:]}")

    def __exit__(self, *_):
        self.alive = self.child.poll() is None
        if self.alive:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()
        self.log.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def code(self, phone: str, which: int = 1) -> str:
        """The code that was “sent” to a number, the first one or a later one; the file has it a moment after the answer."""
        file = self.data / "dev-sms.txt"
        for _ in range(1200):
            lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
            codes = [words[-1] for words in lines if phone in words]
            if len(codes) >= which:
                return codes[-1]
            time.sleep(0.05)
        sys.exit(f"contract: no code for {phone}")


class Api:
    """Single requests, each checked against the document."""

    def __init__(self, server):
        self.server = server
        self.schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        self.operations = {}
        for result in self.schema.get_all_operations():
            operation = result.ok()
            self.operations[operation.definition.raw["operationId"]] = operation
        self.answers = collections.Counter()

    def __call__(self, name, status, body=None, token=None, path=None, query=None):
        operation = self.operations[name]
        case = operation.Case(
            path_parameters=path or {}, query=query or {}, headers={"Authorization": f"Bearer {token}"} if token else {},
            **({} if body is None else {"body": body, "media_type": "application/json"}),
        )
        response = case.call_and_validate()
        self.answers[name, response.status_code] += 1
        if response.status_code != status:
            sys.exit(f"contract: {name}: {response.status_code} instead of {status}: {response.text}")
        return response.json() if response.content else None

    def sign_in(self, phone, user_name):
        request = self("request_code", 200, {"phone": phone})["request_id"]
        wrong = {"request_id": request, "code": "000000" if self.server.code(phone) != "000000" else "000001"}
        self("verify_code", 401, wrong)
        answer = self("verify_code", 200, {"request_id": request, "code": self.server.code(phone), "device": "contract"})
        if answer["status"] == "new":
            answer = self("register", 201, {"registration": answer["registration"], "user_name": user_name, "device": "contract"})
        return answer

    def refresh(self, pair):
        """The next pair; the same one again within the grace, as two tabs would get."""
        first = self("refresh_tokens", 200, {"refresh_token": pair["refresh_token"]})
        again = self("refresh_tokens", 200, {"refresh_token": pair["refresh_token"]})
        assert first["refresh_token"] == again["refresh_token"], "not the same successor"
        return first


def key() -> str:
    digits = f"{time.time_ns() // 1_000_000:012x}7{os.urandom(2).hex()[1:]}8{os.urandom(8).hex()[1:]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def furnish(api, one, two, three):
    """Rooms and messages for what is made up to be about; operations that wear rooms out have some of their own."""
    def room(owner, kind="public"):
        name = f"contract {len(rooms)}"
        rooms.append(name)
        return api("create_room", 201, {"key": key(), "name": name, "kind": kind}, owner["access_token"])["room"]

    def join(who, where):
        api("join_room", 200, {"key": key()}, who["access_token"], {"room": where})

    # Before they share rooms: one who begins a conversation is declined, the other accepted.
    for who, name in ((two, "decline_conversation"), (three, "accept_conversation")):
        begun = api("open_direct", 200, {"user": one["user"]["user"]}, who["access_token"])["room"]
        api(name, 200, {"key": key()}, one["access_token"], {"room": begun})
    rooms = []
    world = {"rooms": {}, "users": [two["user"]["user"], three["user"]["user"]], "user_name": "contract.two", "room_name": "contract 0"}
    common = [room(one), room(one)]
    for where in common:
        join(two, where)
        join(three, where)
        for number in range(8):
            api("send_message", 201, {"key": key(), "text": f"message {number}"}, one["access_token"], {"room": where})
    world["rooms"]["common"] = common
    events = api("list_messages", 200, None, one["access_token"], {"room": common[0]})["events"]
    world["seqs"] = sorted(event["seq"] for event in events)
    for name in ("change_room", "kick_user", "ban_user", "mute_user", "set_role"):
        world["rooms"][name] = [room(one)]
        join(two, world["rooms"][name][0])
    world["rooms"]["join_room"] = [room(two) for _ in range(4)]
    world["rooms"]["leave_room"] = [room(two) for _ in range(4)]
    for where in world["rooms"]["leave_room"]:
        join(one, where)
    world["rooms"]["transfer_room"] = [room(one) for _ in range(8)]
    for where in world["rooms"]["transfer_room"]:
        join(two, where)
        join(three, where)
    world["rooms"]["unmute_user"] = [room(one) for _ in range(4)]
    world["rooms"]["unban_user"] = [room(one) for _ in range(4)]
    for what, undo in (("mute_user", "unmute_user"), ("ban_user", "unban_user")):
        for where in world["rooms"][undo]:
            for who in (two, three):
                join(who, where)
                api(what, 200, {"key": key(), "user": who["user"]["user"]}, one["access_token"], {"room": where})
    world["rooms"]["invite_user"] = [room(one, "private") for _ in range(4)]
    world["rooms"]["delete_room"] = [room(one) for _ in range(4)]
    walk(api, one, two, three, common[0], world)
    return world


def walk(api, one, two, three, room, world):
    """Every operation that is not above succeeds once, however few requests the time allows for."""
    token, user = one["access_token"], three["user"]["user"]
    message = {"room": room, "seq": world["seqs"][-1]}
    reaction = message | {"emoji": "🎉"}
    api("add_reaction", 200, None, token, reaction, {"key": key()})
    api("remove_reaction", 200, None, token, reaction, {"key": key()})
    api("pin_message", 200, None, token, message, {"key": key()})
    api("unpin_message", 200, None, token, message, {"key": key()})
    api("edit_message", 200, {"key": key(), "text": "other text"}, token, message)
    api("delete_message", 200, None, token, message, {"key": key()})
    for name in ("read_up_to", "mark_unread", "delivered_up_to"):
        api(name, 200, {"seq": message["seq"]}, token, {"room": room})
    api("set_typing", 200, {}, token, {"room": room})
    own = {"room": world["rooms"]["transfer_room"][0]}
    api("change_room", 200, {"key": key(), "slow_mode_seconds": 0, "name": "contract changed"}, token, own)
    api("set_role", 200, {"key": key(), "role": "moderator"}, token, own | {"user": user})
    api("mute_user", 200, {"key": key(), "user": user, "seconds": 60}, token, own)
    api("unmute_user", 200, {"key": key(), "user": user}, token, own)
    api("kick_user", 200, {"key": key(), "user": user, "reason": "why"}, token, own)
    api("invite_user", 200, {"key": key(), "user": user}, token, own)
    api("ban_user", 200, {"key": key(), "user": user}, token, own)
    api("unban_user", 200, {"key": key(), "user": user}, token, own)
    api("transfer_room", 200, {"key": key(), "user": two["user"]["user"]}, token, own)
    api("leave_room", 200, {"key": key()}, token, own)
    api("delete_room", 200, None, token, {"room": world["rooms"]["delete_room"].pop()}, {"key": key()})
    linked = {"room": world["rooms"]["invite_user"][-1]}
    link = api("make_link", 200, {"key": key(), "uses": 5}, token, linked)
    api("look_at_link", 200, {"code": link["code"]}, token)
    api("end_link", 200, None, token, linked | {"link": link["link"]}, {"key": key()})
    make = {"key": key(), "name": "contract club", "kind": "invite_only"}
    club = {"room": api("create_room", 201, make, token)["room"]}
    other, asker = three["access_token"], {"user": user}
    api("request_join", 200, {"key": key(), "text": "let me in"}, other, club)
    api("list_my_requests", 200, None, other)
    api("withdraw_request", 200, None, other, club, {"key": key()})
    api("request_join", 200, {"key": key()}, other, club)
    api("list_requests", 200, None, token, club)
    api("accept_request", 200, {"key": key()}, token, club | asker)
    api("kick_user", 200, {"key": key()} | asker, token, club)
    api("request_join", 200, {"key": key()}, other, club)
    api("decline_request", 200, {"key": key()}, token, club | asker)
    said = api("send_message", 201, {"key": key(), "text": "reported"}, token, {"room": room})["seq"]
    api("make_report", 200, {"key": key(), "seq": said, "reason": "spam"}, other, {"room": room})
    api("make_report", 200, {"key": key(), "user": two["user"]["user"], "reason": "other"}, other, {"room": room})
    api("list_reports", 200, None, token, {"room": room})
    api("resolve_report", 200, {"key": key(), "number": 2, "outcome": "dismissed"}, token, {"room": room})
    api("discover_rooms", 200, None, token, None, {"name": "contract", "limit": 2})
    upload(api, token, room)
    direct = api("open_direct", 200, {"user": user}, token)["room"]
    api("delete_for_me", 200, {"seq": 1}, token, {"room": direct})
    api("set_notifications", 200, {"muted_until": 1, "mentions_only": True}, token, {"room": room})
    api("change_me", 200, {"bio": "about one"}, token)
    api("search_users", 200, None, token, None, {"q": "con", "limit": 1})
    api("set_privacy", 200, {"presence": "nobody"}, token)
    api("open_direct_by_phone", 202, {"phone": "+4915110000009"}, token)
    api("register_device", 204, {"provider": "console", "token": "of-contract", "platform": "web"}, token)
    api("test_device", 200, None, token)
    api("remove_device", 204, None, token)
    api("block_user", 200, None, token, {"user": user}, {"key": key()})
    api("unblock_user", 200, None, token, {"user": user}, {"key": key()})
    api("find_room", 200, None, token, {"name": world["room_name"]})
    api("get_room", 200, None, token, {"room": room})
    api("users", 200, None, token, None, {"ids": ",".join(world["users"])})
    api("user_by_name", 200, None, token, {"user_name": world["user_name"]})
    api("export", 200, {}, token)
    api("room_name_available", 200, None, token, None, {"name": "contract free"})
    api("user_name_available", 200, None, token, None, {"user_name": "contract.free"})
    api("jwks", 200)
    for name in ("list_rooms", "me", "make_ticket", "privacy", "list_blocks", "totp", "list_media", "media_usage"):
        api(name, 200, None, token)
    for name in ("list_members", "list_here", "about_room", "list_bans", "list_mutes", "list_pins", "list_links", "list_moderation"):
        api(name, 200, None, token, {"room": room})


def upload(api, token, room):
    """A file from its announcement to its end. Its bytes go by links, which are no JSON."""
    data = b"hello"
    announced = api("announce_media", 201, {"purpose": "attachment", "room": room, "name": "hello.txt", "type": "text/plain", "bytes": len(data)}, token)
    media = {"media": announced["media"]}

    def by_link(name, link, method, body):
        request = urllib.request.Request(api.server.url + link["url"], data=body, method=method, headers={"Content-Type": "text/plain"} if body else {})
        with urllib.request.urlopen(request, timeout=30) as answer:
            api.answers[name, answer.status] += 1
            return answer.read()

    by_link("put_media", announced["upload"], "PUT", data)
    for _ in range(6):
        if api("complete_media", 200, None, token, media)["state"] == "ready":
            break
    assert api("get_media", 200, None, token, media)["state"] == "ready", "it is looked at for ever"
    link = api("link_media", 200, None, token, media, {"variant": 0})
    assert by_link("get_media_content", link, "GET", None) == data, "other bytes than were put"
    api("delete_media", 204, None, token, media)


def two_steps(api, phone):
    """An authenticator app from its begin to its end, and the account's. Its code is good once, so that the rest goes by recovery codes."""
    token = api.sign_in(phone, "contract.steps")["access_token"]
    begun = api("begin_totp", 200, None, token)
    api("confirm_totp", 401, {"code": totp(begun["secret"], 40)}, token)
    used = totp(begun["secret"])
    codes = api("confirm_totp", 200, {"code": used}, token)["recovery_codes"]
    # The number waits for its next code.
    time.sleep(1.5)
    request = api("request_code", 200, {"phone": phone})["request_id"]
    challenged = api("verify_code", 200, {"request_id": request, "code": api.server.code(phone, 2)})
    assert challenged["status"] == "second_factor", challenged
    api("second_factor", 401, {"challenge": challenged["challenge"], "code": used})
    token = api("second_factor", 200, {"challenge": challenged["challenge"], "recovery_code": codes[0]})["access_token"]
    token = api("step_up", 200, {"recovery_code": codes[1]}, token)["access_token"]
    codes = api("make_recovery_codes", 200, None, token)["recovery_codes"]
    api("end_totp", 200, {"recovery_code": codes[0]}, token)
    api("erase", 200, {"user_name": "contract.steps"}, token)


def totp(secret: str, steps: int = 0) -> str:
    """The code of a secret (RFC 6238), so many steps of 30 seconds from now."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, (int(time.time()) // 30 + steps).to_bytes(8, "big"), "sha1").digest()
    start = mac[-1] & 15
    return f"{(int.from_bytes(mac[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


def run_schemathesis(server, world, token, title, arguments):
    """One run; whether it found nothing, and its answers."""
    answers = OUT / f"{title}.answers.json"
    answers.unlink(missing_ok=True)
    command = [
        pathlib.Path(sys.executable).with_name("st"), "--config-file", HERE / "schemathesis.toml", "run", f"{server.url}/openapi.json",
        "--checks", "all", "--seed", SEED, "--report", "ndjson", "--report-ndjson-path", OUT / f"{title}.ndjson", *arguments,
    ]
    environment = os.environ | {
        "PYTHONPATH": str(HERE), "LYNK_CONTRACT_WORLD": json.dumps(world), "LYNK_CONTRACT_ANSWERS": str(answers), "PYTHONDONTWRITEBYTECODE": "1",
        # Not on the command line, where everybody sees it.
        "LYNK_CONTRACT_TOKEN": token,
    }
    with open(OUT / f"{title}.txt", "w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=OUT).returncode
    counted = json.loads(answers.read_text()) if answers.exists() else []
    return code == 0 and bool(counted), collections.Counter({(name, status): count for name, status, count in counted})


def lint() -> bool:
    environment = os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    command = [HERE / "node_modules/.bin/redocly", "lint", "--config", HERE / "redocly.yaml", "--format", "stylish", DOCUMENT]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    documents = [ROOT / "docs/asyncapi.json", ROOT / "docs/events/asyncapi.json"]
    events = subprocess.run(["node", HERE / "asyncapi.mjs", *documents], capture_output=True, text=True, env=environment)
    (OUT / "lint.txt").write_text(done.stdout + done.stderr + events.stdout + events.stderr)
    return done.returncode == 0 and events.returncode == 0


def main() -> int:
    started = time.monotonic()
    OUT.mkdir(parents=True, exist_ok=True)
    failures = []

    def stage(title, good, file):
        print(f"contract: {title}: {'nothing found' if good else 'FINDINGS'} ({time.monotonic() - started:.0f} s)", flush=True)
        if not good:
            failures.append(title)
            print((OUT / file).read_text(), flush=True)

    stage("linter", lint(), "lint.txt")
    with Server() as server:
        with urllib.request.urlopen(f"{server.url}/openapi.json") as answer:
            if json.load(answer) != json.loads(DOCUMENT.read_text()):
                sys.exit("contract: docs/openapi.json is not the document of this server: build it, or run `make docs`")
        api = Api(server)
        one, two, three = (api.sign_in(f"+4915110000{number:03}", f"contract.{name}") for number, name in enumerate(("one", "two", "three")))
        one = one | api.refresh(one)
        world = furnish(api, one, two, three)
        seen = collections.Counter()
        for name in ENDING:
            session = api.sign_in(f"+49151200{ENDING.index(name):05}", f"contract.{name}")
            good, answers = run_schemathesis(server, world, session["access_token"], name, ["--include-operation-id", name, "--phases", "examples,coverage,fuzzing", "--max-time", "5", "--max-examples", "20"])
            stage(f"schemathesis {name}", good, f"{name}.txt")
            seen += answers
        excluded = [word for name in ENDING for word in ("--exclude-operation-id", name)]
        good, answers = run_schemathesis(server, world, one["access_token"], "all", [*excluded, "--max-time", str(SECONDS), "--max-examples", "40"])
        stage("schemathesis of all other operations", good, "all.txt")
        tried = {name for name, _ in answers}
        untried = [name for name in api.operations if name not in ENDING and name not in tried]
        seen += answers
        if untried:
            # Which ones are reached in that time depends on the machine.
            only = [word for name in untried for word in ("--include-operation-id", name)]
            good, answers = run_schemathesis(server, world, one["access_token"], "rest", [*only, "--max-time", "60", "--max-examples", "5"])
            stage("schemathesis of those that were not reached", good, "rest.txt")
            tried |= {name for name, _ in answers}
            untried = [name for name in untried if name not in tried]
            seen += answers
        two_steps(api, "+4915130000002")
        ended = api.sign_in("+4915130000001", "contract.ended")
        session = api("sessions", 200, None, ended["access_token"])["sessions"][0]["session"]
        api("end_session", 204, None, ended["access_token"], {"session": session})
        api("sessions", 401, None, ended["access_token"])
        # Its access token may be over by now.
        two |= api.refresh(two)
        api("logout", 204, None, two["access_token"])
        api("logout", 401, None, two["access_token"])
        seen += api.answers
        unseen = [name for name in api.operations if not any(200 <= status < 300 and count for (of, status), count in seen.items() if of == name)]
    if not server.alive:
        failures.append("the server ended")
    by_status = collections.Counter()
    for (_, status), count in seen.items():
        by_status[status] += count
    print(f"contract: {sum(by_status.values())} answers of {len(api.operations)} operations: " + ", ".join(f"{status} × {count}" for status, count in sorted(by_status.items())))
    broken = {f"{name} {status}": count for (name, status), count in seen.items() if status >= 500}
    if broken:
        failures.append(f"answers of 500 and above: {broken}")
    if untried:
        failures.append(f"not tried in {SECONDS} s: {', '.join(untried)}")
    if unseen:
        failures.append(f"never seen to succeed: {', '.join(unseen)}")
    for failure in failures:
        print(f"contract: FAILED: {failure}")
    print(f"contract: {time.monotonic() - started:.0f} s; reports in target/contract")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
