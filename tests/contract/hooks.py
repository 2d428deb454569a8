"""What Schemathesis cannot know: rooms and people that exist, keys of now. And a count of the answers."""

import atexit
import collections
import json
import os
import time
import zlib

import schemathesis

WORLD = json.loads(os.environ["LYNK_CONTRACT_WORLD"])
answers = collections.Counter()


def key(noise: int) -> str:
    """An idempotency key (UUIDv7) of now that no other case has."""
    millis = time.time_ns() // 1_000_000
    digits = f"{millis:012x}7{noise & 0xFFF:03x}{0x8000 | noise >> 12 & 0x3FFF:04x}{os.urandom(6).hex()}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@schemathesis.hook
def before_call(context, case, kwargs):
    """Most cases that are meant to be right get rooms, people and messages that exist; every one gets a key of now."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    body = case.body if isinstance(case.body, dict) else {}
    query, path = case.query or {}, case.path_parameters or {}
    noise = zlib.crc32(repr((case.operation.label, path, query, case.body)).encode())

    def choice(options):
        return options[noise // 8 % len(options)]

    # What a schema cannot say: a time, a numbering plan, letters of every script, bytes of an operator's limit, one of two.
    for fields in (body, query):
        if "key" in fields:
            fields["key"] = key(noise)
    if "phone" in body:
        body["phone"] = f"+49151{noise % 10**8:08}"
    if "user_name" in body:
        body["user_name"] = f"made.{noise}"
    if "provider" in body:
        # A server has one, and this one has that for development.
        body["provider"] = "console"
    if "emoji" in path:
        path["emoji"] = choice(("👍", "❤️", "x", "🎉"))
    if "ids" in query:
        query["ids"] = ",".join(WORLD["users"])
    if "before" in query:
        query.pop("after", None)
    if query.get("at") is not None:
        query.pop("before", None)
        query.pop("after", None)
    if body.get("mentions") is not None:
        # Only members are mentioned, and of the rooms made up here nobody knows who is one.
        body["mentions"] = []
    name = case.operation.definition.raw.get("operationId")
    if name in ("end_totp", "second_factor", "step_up"):
        # One of two codes, a recovery code in its form; for a step-up, of an account without an app, that of a request.
        if name == "step_up" or body.get("recovery_code") is None:
            body.pop("recovery_code", None)
            body["code"] = body.get("code") or "123456"
            if name == "step_up":
                body["request_id"] = body.get("request_id") or WORLD["users"][0]
        else:
            body["recovery_code"] = choice(("aaaa-aaaa-aaaa-aaaa-aaaa-aaaa", "aaaaa-aaaaa"))
            body.pop("code", None)
            body.pop("request_id", None)
        case.body = body
    if name == "confirm_totp":
        # What goes with a replacement goes with nothing else, and one of two codes does.
        body.pop("recovery_code", None)
        body.pop("current_code", None)
        if body.get("replacement") is not None:
            body["current_code"] = "123456"
    if name in ("send_message", "edit_message") and not body.get("text") and not body.get("attachments"):
        # A text, or files.
        body["text"] = f"made {noise}"
    if name == "make_report":
        # A message, a member, or neither; the messages here are the caller's own, and nobody reports oneself.
        body.pop("seq", None)
        if body.get("user") is not None:
            body["user"] = choice(WORLD["users"])
    if name == "announce_media":
        # A type that is allowed; and only the picture of an account is of no room.
        body["type"] = choice(("image/png", "image/jpeg"))
        if body.get("purpose") == "avatar":
            body.pop("room", None)
        else:
            body["room"] = choice(WORLD["rooms"]["common"])
    if name == "export":
        # The first page; only the server makes cursors.
        body.pop("cursor", None)
    if name == "search_users":
        # Beginnings of words, one of them of two letters; only the server makes marks.
        query["q"] = choice(("con", "contract t", "co tw"))
        query.pop("after", None)
    if body.get("avatar") is not None and (case.meta.phase.name.value == "stateful" or noise % 4):
        # Nobody uploaded one, which is no word about the room that was just made.
        body["avatar"] = None
    if body.get("bio") is not None:
        # Lines that are read.
        body["bio"] = f"made {noise}"
    for field, value in body.items():
        # A whole number has no point here, which a schema cannot say.
        if isinstance(value, float) and value.is_integer():
            body[field] = int(value)
    if "seq" in body:
        # Every room has its first event, and only the server knows its last one.
        body["seq"] = 1
    if body.get("max_members") is not None:
        # Not below the number of members there is, nor above the server's limit.
        body["max_members"] = choice((0, 500))
    if body.get("reply_to") is not None:
        if case.meta.phase.name.value == "stateful":
            body.pop("reply_to")
        else:
            body["reply_to"] = 1
    if case.meta.phase.name.value == "stateful":
        # What a body names and what is not there is answered 404, too, which is no word about the room that was just made.
        if body.get("attachments"):
            body.pop("attachments")
            body["text"] = body.get("text") or f"made {noise}"
        if "user" in body:
            body["user"] = choice(WORLD["users"])
        return
    if noise % 8 == 0:
        return
    rooms = WORLD["rooms"].get(case.operation.definition.raw.get("operationId"), WORLD["rooms"]["common"])
    for fields in (body, path):
        if "user" in fields:
            fields["user"] = choice(WORLD["users"])
    if "room" in path:
        path["room"] = choice(rooms)
    for fields in (body, path):
        if "seq" in fields:
            fields["seq"] = choice(WORLD["seqs"])
    if "user_name" in path:
        path["user_name"] = WORLD["user_name"]
    if "name" in path:
        path["name"] = WORLD["room_name"]


@schemathesis.hook
def after_call(context, case, response):
    answers[case.operation.definition.raw.get("operationId", ""), response.status_code] += 1


@atexit.register
def write():
    with open(os.environ["LYNK_CONTRACT_ANSWERS"], "w") as file:
        json.dump([[name, status, count] for (name, status), count in sorted(answers.items())], file)
