"""Lets clicks through while a cell runs: a busy kernel reads no messages, so the running loop reads them itself.

Only what widgets send is handled at once; everything else that has arrived (the next cell, say) is put back in its
order and runs when the cell has ended.
"""

import asyncio
import inspect

import zmq
from IPython import get_ipython

WIDGET_MESSAGES = ("comm_msg", "comm_close")
POSTPONED = set()


def deliver_clicks():
    """Handle the widget messages that wait for this kernel's main thread, and return how many there were.

    Call it from the cell's own thread, now and then. Outside a kernel, or in one that keeps its messages
    elsewhere, nothing happens.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    stream = stream_of(kernel)
    callback = getattr(stream, "_recv_callback", None)
    if callback is None or kernel.session is None:
        return 0
    waiting = []
    stream.on_recv(waiting.append, copy=False)
    try:
        stream.flush(zmq.POLLIN)
    finally:
        stream.on_recv(callback, copy=False)
    handled = [deliver(kernel, message) for message in waiting]
    for message, done in zip(waiting, handled, strict=True):
        if not done:
            put_back(stream, callback, message)
    return sum(handled)


def stream_of(kernel):
    """Return the stream on which the main thread is sent its messages: ipykernel 7 has one behind a thread."""
    thread = getattr(kernel, "shell_channel_thread", None)
    if thread is None:
        return getattr(kernel, "shell_stream", None)
    pair = getattr(thread.manager, "_shell_channel_to_main", None)
    return getattr(pair, "to_stream", None)


def deliver(kernel, message):
    """Handle a message (a list of frames) that a widget sent; say whether it was one."""
    ident, frames = kernel.session.feed_identities(message, copy=False)
    kind = kernel.session.deserialize(frames, content=False, copy=False)["header"]["msg_type"]
    if kind not in WIDGET_MESSAGES:
        return False
    getattr(kernel.comm_manager, kind)(None, ident, kernel.session.deserialize(frames, copy=False))
    return True


def put_back(stream, callback, message):
    """Give a message to the kernel as if it had arrived just now."""
    result = callback(message)
    if inspect.isawaitable(result):
        task = asyncio.ensure_future(result, loop=stream.io_loop.asyncio_loop)
        POSTPONED.add(task)  # the loop keeps weak references only
        task.add_done_callback(POSTPONED.discard)
