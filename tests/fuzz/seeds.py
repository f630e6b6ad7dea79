#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the first files of the corpus, from what programs really say: seeds.py [FOLDER]

The targets say what their bytes mean. Inputs that once failed are added by hand, under the name of what was wrong.
"""
import pathlib
import struct
import sys

VALIDATE, SET, COMPARE_SET, GET, ADD, CHECK, WAIT, NUM_KEYS = range(8)
DELETE_KEY, APPEND, MULTI_GET, MULTI_SET, CANCEL_WAIT, PING = range(8, 14)


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def blob(text):
    """As the store sends text: 64 bits of length."""
    return u64(len(text)) + text


def text(bytes_):
    """As the targets read it: a byte of length."""
    return bytes([len(bytes_)]) + bytes_


HELLO = bytes([VALIDATE]) + u32(0x3C85F7CE)


def request(code, *parts):
    return bytes([code]) + b"".join(parts)


def raw(client, *requests):
    """A piece of a stream that the server reads."""
    return b"".join(bytes([client]) + text(each) for each in requests)


def made(client, code, *rest, cut=31):
    """A request that the target composes; `rest` are its choices."""
    return bytes([cut << 3 | 2 | client, code, *rest])


def read(client):
    return bytes([4 | client])


def drop(client):
    return bytes([6 | client])


BOTH = raw(0, HELLO) + raw(1, HELLO)
A, B, C, EMPTY, WILL_A, WILL_BX, BX = range(7)

STORE_SERVER = {
    "set_get": raw(0, HELLO, request(SET, blob(b"/k"), blob(b"v")), request(GET, blob(b"/k"))) + drop(0),
    "byte_by_byte": b"".join(raw(0, bytes([b])) for b in HELLO + request(SET, blob(b"/k"), blob(b"v"))),
    "handshake": raw(0, HELLO + bytes([NUM_KEYS] * 4)),
    "all_in_one_piece": raw(0, HELLO + request(ADD, blob(b"/n"), u64(5)) + request(ADD, blob(b"/n"), u64(2**64 - 7))
                            + request(PING, u32(7)) + request(DELETE_KEY, blob(b"/n"))),
    "compare_set": raw(0, HELLO, request(COMPARE_SET, blob(b"/k"), blob(b""), blob(b"a")),
                       request(COMPARE_SET, blob(b"/k"), blob(b"a"), blob(b"b"))),
    "several_keys": raw(0, HELLO, request(MULTI_SET, u64(2), blob(b"/a"), blob(b"1"), blob(b"/b"), blob(b"2")),
                        request(MULTI_GET, u64(2), blob(b"/a"), blob(b"/b")), request(CHECK, u64(1), blob(b"/a"))),
    "exchange": BOTH + raw(1, request(APPEND, blob(b"/roll"), blob(b"r1")) + request(SET, blob(b"/hello"), blob(b"1"))
                           + request(WAIT, u64(1), blob(b"/answer")) + request(GET, blob(b"/answer")))
                + raw(0, request(SET, blob(b"/answer"), blob(b"yes"))) + read(1),
    "wait_is_cancelled": BOTH + raw(1, request(WAIT, u64(1), blob(b"/k")), request(CANCEL_WAIT))
                         + raw(0, request(SET, blob(b"/k"), blob(b"v"))),
    "waiter_leaves": BOTH + made(1, WAIT, 2, A, B) + made(0, SET, A, 1, 120) + drop(1) + made(0, SET, B, 0),
    "will": BOTH + made(0, WAIT, 1, A) + made(1, SET, WILL_A, 2, 104, 105) + drop(1) + made(0, GET, A),
    "will_taken_back": BOTH + made(1, SET, WILL_BX, 1, 120) + made(1, DELETE_KEY, WILL_BX) + drop(1) + made(0, NUM_KEYS),
    "waits_for_its_own": raw(0, HELLO) + made(0, WAIT, 2, C, BX) + made(0, GET, C) + made(0, MULTI_SET, 2, C, 1, 97, BX, 1, 98),
    "composed_in_pieces": raw(0, HELLO) + made(0, APPEND, A, 3, 49, 50, 51, cut=4) + made(0, ADD, A, 7, cut=10) + made(0, ADD, EMPTY, 255),
    "http": raw(0, b"GET / HTTP/1.1\r\n\r\n"),
    "too_long": raw(0, HELLO, request(SET, u64(2**63))),
}

ANY, MUSTER, OWN_GREETING = 0, 1, 2
LATE = 128
DONE, CANCELLED = b"\0", b"\1"
(OP_SET, OP_GET, OP_WAIT, OP_CHECK, OP_ADD, OP_COMPARE_SET, OP_APPEND, OP_MULTI_GET, OP_MULTI_SET, OP_REMOVE, OP_NUM_KEYS,
 OP_EXCHANGE) = range(12)


def ops(how, *steps, greeting=b""):
    return bytes([how]) + greeting + b"".join(bytes([op]) + text(reply) for op, reply in steps)


STORE_CLIENT = {
    "all_is_well": ops(ANY, (OP_SET, b""), (OP_GET, DONE + blob(b"v")), (OP_CHECK, b"\0"), (OP_ADD, u64(3)), (OP_REMOVE, u64(1)),
                       (OP_NUM_KEYS, u64(2))),
    "several_keys": ops(ANY, (OP_MULTI_SET, b""), (OP_MULTI_GET, DONE + blob(b"a") + blob(b"b")), (OP_WAIT, DONE)),
    "compare_set": ops(ANY, (OP_COMPARE_SET, blob(b"v")), (OP_APPEND, b"")),
    "exchange": ops(ANY, (OP_EXCHANGE, DONE + DONE + blob(b"answer"))),
    "exchange_muster": ops(MUSTER, (OP_EXCHANGE, DONE + blob(b"answer")), (OP_NUM_KEYS, u64(1))),
    "exchange_late": ops(MUSTER, (OP_EXCHANGE | LATE, CANCELLED), (OP_NUM_KEYS, u64(1))),
    "exchange_crosses": ops(MUSTER, (OP_EXCHANGE | LATE, DONE + blob(b"answer") + CANCELLED), (OP_NUM_KEYS, u64(1))),
    "muster_hangs_up": ops(MUSTER, (OP_EXCHANGE, b"")),
    "wait_late": ops(ANY, (OP_WAIT | LATE, DONE + CANCELLED), (OP_SET, b""), (OP_NUM_KEYS, u64(1))),
    "removed_since": ops(ANY, (OP_GET, DONE + blob(b"") + DONE + blob(b"v"))),
    "negative_count": ops(ANY, (OP_NUM_KEYS, u64(2**64 - 1))),
    "huge_value": ops(ANY, (OP_COMPARE_SET, u64(2**63))),
    "own_greeting": ops(OWN_GREETING, (OP_NUM_KEYS, u64(1)), greeting=text(bytes(32))),
    "http": ops(OWN_GREETING, greeting=text(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
}


def short(text_):
    """As the roll call writes text: 32 bits of length."""
    return u32(len(text_)) + text_


def fields(**pairs):
    listed = [(name.replace("__", ".").encode(), str(value).encode()) for name, value in pairs.items()]
    return u32(len(listed)) + b"".join(short(name) + short(value) for name, value in listed)


def record(rank, **more):
    facts = dict(rank=rank, world_size=2, local_rank=rank, local_size=2, nonce=f"{rank:032x}", host="gpu01",
                 boot_id="8f3c", pid=4121 + rank, launcher="torchrun", launch_sources="RANK, WORLD_SIZE", protocol=1,
                 library="0.1.0", backend="nccl", mesh="tp=2", device=f"GPU {rank}", exclusive=f"GPU-{rank}")
    return fields(**(facts | more))


FIELDS, RECORD, VERDICT, RECORDS, ANSWER, OUTCOME, NONCES = (bytes([n]) for n in range(7))
ERROR = fields(code=4, stage=5, text="2 of 8 ranks did not arrive", ranks="3 5")

ROLL_CALL = {
    "fields": FIELDS + fields(session="ab", confirm="yes"),
    "fields_doubled": FIELDS + u32(2) + 2 * (short(b"n") + short(b"7")),
    "fields_cut_off": FIELDS + fields(session="ab")[:-1],
    "record": RECORD + record(1),
    "record_failed": RECORD + record(1, failure__code=10, failure__stage=2, failure__text="no device"),
    "verdict": VERDICT + fields(size=4, rank_0="gpu01:4121", answer=(short(b"0") + short(b"root")).decode(), members="01234567" * 4),
    "verdict_of_nobody": VERDICT + fields(size=-1, rank_0="gpu01:4121", answer=""),
    "verdict_error": VERDICT + ERROR,
    "records": RECORDS + short(record(0)) + short(record(1)),
    "records_doubled": RECORDS + short(record(0)) + short(record(0, nonce="another", pid=9)),
    "records_differ": RECORDS + short(record(0)) + short(record(1, mesh="tp=1")),
    "records_one_device": RECORDS + short(record(0)) + short(record(1, exclusive="GPU-0")),
    "records_one_failed": RECORDS + short(record(0)) + short(record(1, failure__code=10, failure__stage=2, failure__text="no device")),
    "answer": ANSWER + short(b"0") + short(b"root") + short(b"3") + short(b"x"),
    "outcome_success": OUTCOME + b"+",
    "outcome_error": OUTCOME + ERROR,
    "nonces": NONCES + 2 * f"{1:032x}".encode() + f"{2:032x}".encode(),
}


def fnv1a(data):
    hash_ = 14695981039346656037
    for byte in data:
        hash_ = (hash_ ^ byte) * 1099511628211 % 2**64
    return hash_


def entry(kind, key, value, total=None, checksum=None):
    total = len(value) if total is None else total
    checksum = fnv1a(key + value) if checksum is None else checksum
    return b"muster-store-1 %s %d %d %d %016x\n%s\n%s" % (kind, len(key), len(value), total, checksum, key, value)


def change(kind, value=b""):
    """A file that the target composes."""
    return bytes([1, kind]) + (text(value) if kind != 2 else b"")


STORE_FILE = {
    "nothing": b"",
    "value": b"\0" + text(entry(b"value", b"k", b"v")),
    "suffix": b"\0" + text(entry(b"value", b"k", b"v")) + b"\0" + text(entry(b"suffix", b"k", b"w", 2)),
    "removed": b"\0" + text(entry(b"removed", b"k", b"")),
    "cut_off": b"\0" + text(entry(b"value", b"k", b"value")[:-2]),
    "too_long": b"\0" + text(entry(b"value", b"k", b"v") + b"w"),
    "damaged": b"\0" + text(entry(b"value", b"k", b"v", checksum=1)),
    "other_key": b"\0" + text(entry(b"value", b"l", b"v")),
    "other_program": b"\0" + text(b"#!/bin/sh\n"),
    "empty_file": b"\0\0",
    "huge_total": b"\0" + text(entry(b"suffix", b"k", b"v", 2**64 - 1)),
    "huge_size": b"\0" + text(b"muster-store-1 value 1 18446744073709551615 0 0\nk\n"),
    "composed": change(0, b"v") + change(1, b"w") + change(2) + change(1, b"x"),
    "composed_then_raw": change(1, b"w") + b"\0" + text(entry(b"suffix", b"k", b"v", 3)) + change(1, b"y"),
}


def addresses(rank, size, family, address, *entries):
    return (bytes([size - 1, rank]) + b"mGl1" + u32(rank) + u32(size) + bytes([family]) + address
            + b"".join(struct.pack("<Hq", *each) for each in entries))


GLOO_PAYLOAD = {
    "group_of_1": addresses(0, 1, 0, b""),
    "group_of_2": addresses(0, 2, 4, bytes([127, 0, 0, 1]), (0, 0), (40001, 7)),
    "group_of_3_ipv6": addresses(1, 3, 6, bytes(15) + b"\1", (40000, 1), (0, 0), (40001, 2)),
    "link_local": addresses(0, 2, 6, b"\xfe\x80" + bytes(13) + b"\1", (0, 0), (40001, 7)),
    "no_port": addresses(0, 2, 4, bytes([10, 0, 0, 1]), (0, 0), (0, 7)),
    "unspecified": addresses(0, 2, 4, bytes(4), (0, 0), (40001, 7)),
    "other_family": addresses(0, 2, 5, bytes(4), (0, 0), (40001, 7)),
    "other_version": bytes([1, 0]) + b"mGl2" + bytes(9),
    "other_rank": bytes([1, 1]) + addresses(0, 2, 4, bytes([127, 0, 0, 1]), (0, 0), (40001, 7))[2:],
    "cut_off": addresses(0, 2, 4, bytes([127, 0, 0, 1]), (0, 0), (40001, 7))[:-3],
    "too_long": addresses(0, 2, 4, bytes([127, 0, 0, 1]), (0, 0), (40001, 7), (1, 1)),
    "for_nobody": addresses(0, 1, 4, bytes([127, 0, 0, 1])),
}

HOST_LIST = {
    "one": b"localhost",
    "names": b"gpu01,gpu02 login\tnode",
    "range": b"gpu[01-04,7]",
    "leading_zeros": b"n[008-011]",
    "suffix": b"gpu[1-2]-ib,login",
    "two_brackets": b"rack[1-3]node[01-16]",
    "wide": b"n[0-4294967295]",
    "widest": b"n[0-18446744073709551615]x[0-18446744073709551615]",
    "too_large": b"n[0-18446744073709551616]",
    "down": b"n[4-1]",
    "not_closed": b"n[1-",
    "not_opened": b"n1]",
    "empty_entry": b"a,,b",
    "blanks": b" n[ 1 , 2 - 3 ] ,m ",
    "long_name": b"x" * 250 + b"[1-100000]",
    "not_ascii": "knoten\u00fc[1-2]\x7f".encode(),
}

CORPUS = {
    "gloo_payload": GLOO_PAYLOAD,
    "host_list": HOST_LIST,
    "roll_call": ROLL_CALL,
    "store_client": STORE_CLIENT,
    "store_file": STORE_FILE,
    "store_server": STORE_SERVER,
}

top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus")
for target, seeds in CORPUS.items():
    (top / target).mkdir(parents=True, exist_ok=True)
    for name, content in seeds.items():
        (top / target / name).write_bytes(content)
