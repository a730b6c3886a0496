// A WebSocket server as one writes it with `ws`: the text `sub CHANNEL` makes a socket a
// listener, `pub CHANNEL PAYLOAD` sends PAYLOAD to all listeners. Dead sockets are found
// by pings, as its README shows.
//
//     node server.mjs PORT HEARTBEAT_SECONDS

import { WebSocketServer } from 'ws'

const [port, heartbeat] = process.argv.slice(2).map(Number)
const channels = new Map()
const server = new WebSocketServer({ host: '127.0.0.1', port, backlog: 65535, perMessageDeflate: false })

server.on('connection', (socket) => {
  socket.isAlive = true
  socket.channel = undefined
  socket.on('pong', onPong)
  socket.on('message', onMessage)
  socket.on('close', onClose)
  socket.on('error', onError)
})

function onPong() {
  this.isAlive = true
}

function onMessage(data) {
  const kind = data.toString('latin1', 0, 4)
  if (kind === 'pub ') {
    const space = data.indexOf(32, 4)
    const payload = data.subarray(space + 1)
    for (const listener of channels.get(data.toString('utf8', 4, space)) ?? []) {
      // More than a megabyte behind: too slow, as for all servers of the ladder.
      if (listener.bufferedAmount > 1 << 20) listener.terminate()
      else listener.send(payload, { binary: false })
    }
  } else if (kind === 'sub ') {
    onClose.call(this)
    this.channel = data.toString('utf8', 4)
    if (!channels.has(this.channel)) channels.set(this.channel, new Set())
    channels.get(this.channel).add(this)
  }
}

function onClose() {
  const listeners = channels.get(this.channel)
  listeners?.delete(this)
  if (listeners?.size === 0) channels.delete(this.channel)
}

function onError() {
  this.terminate()
}

if (heartbeat > 0) {
  setInterval(() => {
    for (const socket of server.clients) {
      if (!socket.isAlive) {
        socket.terminate()
        continue
      }
      socket.isAlive = false
      socket.ping()
    }
  }, heartbeat * 1000)
}
