"""The front end of an S3 store, as a process that can be killed: it hands bytes on, and keeps none.

moto has its objects in memory, so that the one who answers for it dies in its place: `front.py PORT UPSTREAM_PORT`.
"""

import asyncio
import sys
from contextlib import suppress


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(port: int, upstream_port: int) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            store_reader, store_writer = await asyncio.open_connection("127.0.0.1", upstream_port)
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, store_writer), _copy(store_reader, writer))

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
