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


def is_generated(case) -> bool:
    """Whether a case is made up from the schema alone and is meant to be right."""
    return case.meta is not None and case.meta.generation.mode.is_positive and case.meta.phase.name.value != "stateful"


@schemathesis.hook
def before_call(context, case, kwargs):
    """Most cases that are meant to be right get rooms, people and messages that exist; every one gets a key of now."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    body = case.body if isinstance(case.body, dict) else {}
    noise = zlib.crc32(repr((case.operation.label, case.path_parameters, case.query, case.body)).encode())
    for fields in (body, case.query):
        if fields and "key" in fields:
            fields["key"] = key(noise)
    if not is_generated(case) or noise % 8 == 0:
        return
    name = case.operation.definition.raw.get("operationId")
    rooms = WORLD["rooms"].get(name, WORLD["rooms"]["common"])
    users = WORLD["users"]
    for fields in (body, case.path_parameters):
        if fields and "room" in fields:
            fields["room"] = rooms[noise // 8 % len(rooms)]
        if fields and "user" in fields:
            fields["user"] = users[noise // 8 % len(users)]
    if case.path_parameters:
        if "seq" in case.path_parameters:
            case.path_parameters["seq"] = WORLD["seqs"][noise // 8 % len(WORLD["seqs"])]
        if "emoji" in case.path_parameters:
            case.path_parameters["emoji"] = ("👍", "❤️", "x", "🎉")[noise // 8 % 4]
        if "user_name" in case.path_parameters:
            case.path_parameters["user_name"] = WORLD["user_name"]
        if "name" in case.path_parameters:
            case.path_parameters["name"] = WORLD["room_name"]
    if case.query and "ids" in case.query:
        case.query["ids"] = ",".join(users)


@schemathesis.hook
def after_call(context, case, response):
    answers[case.operation.definition.raw.get("operationId", ""), response.status_code] += 1


@atexit.register
def write():
    with open(os.environ["LYNK_CONTRACT_ANSWERS"], "w") as file:
        json.dump([[name, status, count] for (name, status), count in sorted(answers.items())], file)
