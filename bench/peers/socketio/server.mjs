// A Socket.IO server as its documentation shows it: the event `sub` with a channel joins
// its room, the event `pub` with a channel and a payload emits the event `pub` with the
// payload to the room. WebSocket only, no compression.
//
//     node server.mjs PORT HEARTBEAT_SECONDS

import { createServer } from 'node:http'
import { Server } from 'socket.io'

const [port, heartbeat] = process.argv.slice(2).map(Number)
const http = createServer()
const server = new Server(http, {
  transports: ['websocket'],
  perMessageDeflate: false,
  serveClient: false,
  pingInterval: (heartbeat || 86_400) * 1000,
  pingTimeout: 20_000,
})

server.on('connection', (socket) => {
  socket.on('sub', (channel, acknowledge) => {
    socket.join(channel)
    if (typeof acknowledge === 'function') acknowledge()
  })
  socket.on('pub', (channel, payload) => {
    server.to(channel).emit('pub', payload)
  })
})

http.listen({ host: '127.0.0.1', port, backlog: 65535 })
