"""Stores the messages of the stream in SQLite, each once, with nats-py.

Once, because the message's id is the primary key, and a message is acknowledged after the commit: what a crash has left
without an acknowledgement comes again, and is ignored.
"""

import asyncio
import os
import sqlite3

import nats

# A body is a blob: it may hold bytes that are no UTF-8, and Zoom's signature is that of the bytes.
TABLE = """create table if not exists message (
    id text primary key,
    seq integer not null,  -- in the stream: the order
    subject text not null,
    event text,            -- null: one of the bridge's own messages, such as a gap
    object text,
    body blob not null
)"""


def row(msg):
    headers = msg.headers or {}
    bridge = msg.subject.startswith("zoom._bridge.")
    return (
        headers["Nats-Msg-Id"],
        msg.metadata.sequence.stream,
        msg.subject,
        None if bridge else headers.get("Zoom-Event"),
        headers.get("Zoom-Object-Id"),
        msg.data,
    )


async def main():
    db = sqlite3.connect("messages.db")
    db.execute(TABLE)
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), max_reconnect_attempts=-1)
    # With the stream's name: without it the client has to ask for it.
    sub = await nc.jetstream().pull_subscribe("zoom.>", durable="python-sqlite", stream="ZOOM")
    while True:
        try:
            messages = await sub.fetch(100, timeout=5)
        except asyncio.TimeoutError:  # there is none
            continue
        with db:  # one transaction, committed at its end
            db.executemany("insert or ignore into message values (?, ?, ?, ?, ?, ?)", map(row, messages))
        for msg in messages:
            await msg.ack()


if __name__ == "__main__":
    asyncio.run(main())
