"""The official Python SDK as a process: orders come as lines of JSON on standard input,
answers and events leave as lines of JSON on standard output. The same language as
../js/client.mjs; e2e/src/sdk.rs speaks the other side."""

import asyncio
import json
import sys

from centrifuge import (
    CentrifugeError,
    Client,
    ClientEventHandler,
    ReplyError,
    StreamPosition,
    SubscriptionEventHandler,
)

URL, FORMAT, TOKEN = sys.argv[1:4]
PROTOBUF = FORMAT == "protobuf"


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


# Protobuf clients carry bytes, JSON clients carry values: the tests see values.
def encode(value):
    return json.dumps(value).encode() if PROTOBUF else value


def decode(data):
    return json.loads(data) if PROTOBUF else data


def subscribed(channel, ctx):
    position = ctx.stream_position
    say(
        event="subscribed",
        channel=channel,
        recovered=ctx.recovered,
        was_recovering=ctx.was_recovering,
        epoch=position.epoch if position else None,
        offset=position.offset if position else None,
    )


class Events(ClientEventHandler):
    async def on_connecting(self, ctx):
        say(event="connecting", code=ctx.code, reason=ctx.reason)

    async def on_connected(self, ctx):
        say(event="connected", client=ctx.client)

    async def on_disconnected(self, ctx):
        say(event="disconnected", code=ctx.code, reason=ctx.reason)

    async def on_error(self, ctx):
        say(event="error", code=ctx.code, reason=str(ctx.error))

    async def on_subscribed(self, ctx):
        subscribed(ctx.channel, ctx)

    async def on_unsubscribed(self, ctx):
        say(event="unsubscribed", channel=ctx.channel, code=0, reason="")

    async def on_publication(self, ctx):
        say(event="publication", channel=ctx.channel, offset=ctx.pub.offset or 0, data=decode(ctx.pub.data))


class SubscriptionEvents(SubscriptionEventHandler):
    def __init__(self, channel):
        self.channel = channel

    async def on_subscribing(self, ctx):
        say(event="subscribing", channel=self.channel, code=ctx.code, reason=ctx.reason)

    async def on_subscribed(self, ctx):
        subscribed(self.channel, ctx)

    async def on_unsubscribed(self, ctx):
        say(event="unsubscribed", channel=self.channel, code=ctx.code, reason=ctx.reason)

    async def on_publication(self, ctx):
        say(event="publication", channel=self.channel, offset=ctx.pub.offset or 0, data=decode(ctx.pub.data))

    async def on_error(self, ctx):
        say(event="error", code=ctx.code, reason=str(ctx.error))


def state_at(since):
    """This SDK asks for the position when it needs it."""

    async def get_state(channel):
        return StreamPosition(offset=since["offset"], epoch=since["epoch"])

    return get_state


async def rpc(client, order):
    try:
        result = await client.rpc(order["method"], encode(order["data"]))
        say(id=order["id"], data=decode(result.data))
    except ReplyError as error:
        say(
            id=order["id"],
            error={"code": error.code, "message": error.message, "temporary": error.temporary},
        )
    except CentrifugeError as error:
        # No reply: not connected, or not in time.
        say(id=order["id"], error={"code": 0, "message": repr(error), "temporary": True})


async def main():
    client = Client(
        URL,
        events=Events(),
        token=TOKEN,
        use_protobuf=PROTOBUF,
        timeout=10.0,
        max_server_ping_delay=10.0,
        min_reconnect_delay=0.05,
        max_reconnect_delay=0.5,
        proxy=None,
    )
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    tasks = set()
    # The end of standard input is the end of the test.
    while line := await lines.readline():
        order = json.loads(line)
        match order["order"]:
            case "connect":
                await client.connect()
            case "disconnect":
                await client.disconnect()
            case "subscribe":
                channel, since = order["channel"], order.get("since")
                subscription = client.new_subscription(
                    channel,
                    events=SubscriptionEvents(channel),
                    get_state=state_at(since) if since else None,
                    min_resubscribe_delay=0.05,
                    max_resubscribe_delay=0.5,
                )
                await subscription.subscribe()
            case "rpc":
                task = asyncio.create_task(rpc(client, order))
                tasks.add(task)
                task.add_done_callback(tasks.discard)


asyncio.run(main())
